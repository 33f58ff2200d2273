/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A capture file of either format: what comes before its packets, and its end. */
#include "file.h"
#include "internal.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAGIC_BYTES = 4, PCAP_HEADER_BYTES = 24 };

static const uint8_t section_header[MAGIC_BYTES] = {0x0a, 0x0d, 0x0d, 0x0a}; /* the same in both byte orders */

int pfq_file_new(struct pfq_file **out)
{
    struct pfq_file *file = calloc(1, sizeof *file);
    if (!file)
        return pfq_no_memory();
    pfq_want(file, MAGIC_BYTES, "its first word", 0);
    *out = file;
    return 0;
}

void pfq_file_free(struct pfq_file *file)
{
    if (!file)
        return;
    for (uint32_t i = 0; i < file->count; i++)
        free((void *)file->sources[i].told.options);
    free(file->sources);
    free((void *)file->info.options);
    free(file);
}

int pfq_no_memory(void)
{
    return pfq_fail(ENOMEM, "no memory left");
}

int pfq_damage(const struct pfq_file *file, size_t at, const char *format, ...)
{
    char what[160];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return pfq_fail(EBADMSG, "at offset %" PRIu64 ": %s", file->offset + at, what);
}

/* Finds out the format, as soon as there are bytes enough. */
static int begin(struct pfq_file *file, struct pfq_run *run)
{
    const uint8_t *bytes = run->bytes;
    if (run->size < MAGIC_BYTES)
        return pfq_want(file, MAGIC_BYTES, "its first word", 0);
    if (!memcmp(bytes, section_header, MAGIC_BYTES)) {
        file->format = PFQ_FORMAT_PCAPNG;
        return 0;
    }
    if (!pfq_is_pcap(bytes))
        return pfq_damage(file, 0, "neither pcap nor pcapng (it begins with %02x%02x%02x%02x)", bytes[0], bytes[1],
                          bytes[2], bytes[3]);
    if (run->size < PCAP_HEADER_BYTES)
        return pfq_want(file, PCAP_HEADER_BYTES, "the header", 0);
    int code = pfq_pcap_header(file, bytes);
    if (code == 0) {
        file->format = PFQ_FORMAT_PCAP;
        run->at = PCAP_HEADER_BYTES;
    }
    return code;
}

int pfq_file_parse(struct pfq_file *file, const void *bytes, size_t size, struct pfq_record *out, uint32_t max,
                   size_t *used)
{
    struct pfq_run run = {.bytes = bytes, .size = size, .out = out, .max = max < INT_MAX ? max : INT_MAX};
    int code = file->format == PFQ_FORMAT_UNKNOWN ? begin(file, &run) : 0;
    if (code == 0 && file->format == PFQ_FORMAT_PCAP)
        code = pfq_pcap_run(file, &run);
    else if (code == 0 && file->format == PFQ_FORMAT_PCAPNG)
        code = pfq_pcapng_run(file, &run);
    *used = run.at;
    file->offset += run.at;
    /* What came before the fault goes out first; the next call meets it again. */
    return run.count ? (int)run.count : code;
}

size_t pfq_file_wanted(const struct pfq_file *file)
{
    return file->wanted;
}

int pfq_file_finish(struct pfq_file *file, size_t left)
{
    if (left == 0 && file->offset == 0)
        return pfq_damage(file, 0, "the file is empty");
    if (left == 0)
        return 0;
    return pfq_damage(file, 0, "the file ends in %s (%zu of %zu bytes)", file->in, left - file->in_head,
                      file->wanted - file->in_head);
}

void pfq_file_info(const struct pfq_file *file, struct pfq_file_info *out)
{
    *out = file->info;
    out->offset = file->offset;
    out->interfaces = file->count;
    out->format = (uint8_t)file->format;
}

int pfq_file_interface(const struct pfq_file *file, uint32_t number, struct pfq_interface *out)
{
    if (number >= file->count)
        return pfq_fail(EINVAL, "interface %" PRIu32 " of %" PRIu32, number, file->count);
    *out = file->sources[number].told;
    return 0;
}

struct pfq_source *pfq_source_add(struct pfq_file *file, uint16_t link_type, uint32_t snaplen)
{
    if (file->count == file->room) {
        uint32_t room = file->room ? file->room * 2 : 4;
        struct pfq_source *sources = realloc(file->sources, room * sizeof *sources);
        if (!sources)
            return NULL;
        file->sources = sources;
        file->room = room;
    }
    struct pfq_source *source = &file->sources[file->count++];
    *source = (struct pfq_source){0};
    memset(&source->told, PFQ_UNTOLD, offsetof(struct pfq_interface, offset_s));
    source->told.snaplen = snaplen;
    source->told.link_type = link_type;
    return source;
}
