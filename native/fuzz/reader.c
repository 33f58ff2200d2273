/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer target: the parser of capture files.
 *
 * The input is a file. It is parsed as a whole and again in pieces, whose sizes follow from the input, each in
 * memory of exactly its size. Both ways must give the same packets, the same interfaces and the same end.
 * Every byte that a record or an interface points to is read, so that AddressSanitizer sees wrong pointers.
 */
#include <pfq/file.h>

#include "check.h"

#include <errno.h>

enum { RECORDS = 64, ERROR_BYTES = 256, LARGEST_WANTED = (1 << 24) + 64 };

/* What came of a file. */
struct outcome {
    uint64_t packets;
    uint64_t digest; /* of all packets in order, and then of the interfaces */
    int code;        /* of the end */
    char error[ERROR_BYTES];
    struct pfq_file_info info;
};

static void check_ethernet(const struct pfq_record *records, uint32_t count)
{
    struct pfq_record *out = take_memory(count * sizeof *out);
    size_t need = pfq_records_as_ethernet(records, count, out, NULL, 0);
    if (need) {
        uint8_t *small = take_memory(need - 1);
        REQUIRE(pfq_records_as_ethernet(records, count, out, small, need - 1) == need);
        free(small);
    }
    uint8_t *buf = take_memory(need);
    REQUIRE(pfq_records_as_ethernet(records, count, out, buf, need) == need);
    REQUIRE(pfq_records_foreign(records, count) || need == 0);
    volatile uint64_t digest = 0;
    for (uint32_t i = 0; i < count; i++) {
        digest = mix_record(digest, &out[i]);
        REQUIRE(records[i].link_type != 1 || !memcmp(&out[i], &records[i], sizeof out[i]));
    }
    free(buf);
    free(out);
}

static void take(struct outcome *outcome, const struct pfq_record *records, int count, const uint8_t *bytes, size_t used)
{
    for (int i = 0; i < count; i++) {
        const uint8_t *data = (const uint8_t *)(uintptr_t)records[i].data;
        REQUIRE(data >= bytes && data + records[i].caplen <= bytes + used);
        outcome->digest = mix_record(outcome->digest, &records[i]);
    }
    outcome->packets += (uint64_t)count;
}

static void finish(struct pfq_file *file, struct outcome *outcome, int code, size_t left)
{
    outcome->code = code < 0 ? code : pfq_file_finish(file, left);
    REQUIRE(outcome->code == 0 || outcome->code == -EBADMSG);
    if (outcome->code)
        snprintf(outcome->error, sizeof outcome->error, "%s", pfq_error_last());
    pfq_file_info(file, &outcome->info);
    outcome->digest = mix_bytes(outcome->digest, outcome->info.options, outcome->info.options_bytes);
    for (uint32_t i = 0; i < outcome->info.interfaces; i++) {
        struct pfq_interface told;
        REQUIRE(pfq_file_interface(file, i, &told) == 0);
        outcome->digest = mix_bytes(outcome->digest, told.options, told.options_bytes);
        told.options = NULL;
        outcome->digest = mix_bytes(outcome->digest, &told, sizeof told);
    }
    struct pfq_interface none;
    REQUIRE(pfq_file_interface(file, outcome->info.interfaces, &none) < 0);
    pfq_file_free(file);
}

static struct outcome parse_whole(const uint8_t *data, size_t size)
{
    struct outcome outcome = {0};
    struct pfq_file *file;
    REQUIRE(pfq_file_new(&file) == 0);
    struct pfq_record *records = take_memory(RECORDS * sizeof *records);
    uint8_t *bytes = take_memory(size);
    if (size)
        memcpy(bytes, data, size);
    size_t at = 0, used;
    int code;
    while ((code = pfq_file_parse(file, bytes + at, size - at, records, RECORDS, &used)) > 0 || (code == 0 && used)) {
        REQUIRE(used <= size - at && code <= RECORDS);
        take(&outcome, records, code, bytes + at, used);
        check_ethernet(records, (uint32_t)code);
        at += used;
    }
    at += used;
    finish(file, &outcome, code, size - at);
    free(records);
    free(bytes);
    return outcome;
}

/* The size of the next piece: often tiny, sometimes what the parser says that it wants. */
static size_t next_piece(uint64_t *state, size_t wanted)
{
    uint64_t drawn = draw(state);
    switch (drawn & 3) {
    case 0:
        return 1;
    case 1:
        return 1 + (drawn >> 2) % 16;
    case 2:
        return 1 + (drawn >> 2) % 600;
    default:
        return wanted ? wanted : 1;
    }
}

static struct outcome parse_in_pieces(const uint8_t *data, size_t size)
{
    struct outcome outcome = {0};
    struct pfq_file *file;
    REQUIRE(pfq_file_new(&file) == 0);
    uint64_t state = mix_bytes(1, data, size);
    size_t at = 0, end = 0; /* of the bytes that the parser was given */
    int code;
    for (;;) {
        uint32_t max = (state >> 40) % 5;
        uint8_t *bytes = take_memory(end - at);
        struct pfq_record *records = take_memory(max * sizeof *records);
        if (end > at)
            memcpy(bytes, data + at, end - at);
        size_t used;
        code = pfq_file_parse(file, bytes, end - at, records, max, &used);
        REQUIRE(used <= end - at && code <= (int)max);
        REQUIRE(pfq_file_wanted(file) <= LARGEST_WANTED);
        take(&outcome, records, code > 0 ? code : 0, bytes, used);
        size_t given = end - at;
        at += used;
        free(records);
        free(bytes);
        if (code < 0)
            break;
        size_t piece = next_piece(&state, pfq_file_wanted(file));
        if (code > 0 || used || max == 0)
            continue; /* there may be more in what was given */
        REQUIRE(pfq_file_wanted(file) > given); /* or a caller would wait for ever */
        if (end == size)
            break;
        end = piece < size - end ? end + piece : size;
    }
    finish(file, &outcome, code, size - at);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome whole = parse_whole(data, size), pieces = parse_in_pieces(data, size);
    REQUIRE(whole.code == pieces.code);
    REQUIRE(whole.packets == pieces.packets);
    REQUIRE(whole.digest == pieces.digest);
    if (strcmp(whole.error, pieces.error)) {
        fprintf(stderr, "as a whole: %s\nin pieces:  %s\n", whole.error, pieces.error);
        abort();
    }
    REQUIRE(whole.info.offset == pieces.info.offset && whole.info.format == pieces.info.format);
    REQUIRE(whole.info.skipped == pieces.info.skipped && whole.info.skipped_at == pieces.info.skipped_at);
    REQUIRE(whole.info.sections == pieces.info.sections && whole.info.options_lost == pieces.info.options_lost);
    return 0;
}
