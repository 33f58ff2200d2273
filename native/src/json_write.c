/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writing JSON into a buffer of a fixed size. */
#include "json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void put(struct json_out *o, const char *bytes, size_t size)
{
    if (o->error)
        return;
    if (size > o->size - o->used) {
        o->error = ENOSPC;
        return;
    }
    memcpy(o->buf + o->used, bytes, size);
    o->used += size;
}

void pfq_json_put_raw(struct json_out *o, const char *text)
{
    put(o, text, strlen(text));
}

static void put_string(struct json_out *o, const char *text)
{
    put(o, "\"", 1);
    for (const char *at = text, *end = text + strlen(text); at < end && !o->error;) {
        unsigned size = pfq_utf8(at, end);
        if (size == 0) {
            o->error = EILSEQ;
        } else if ((unsigned char)*at < 0x20) {
            char escape[8];
            snprintf(escape, sizeof escape, "\\u%04x", *at);
            put(o, escape, 6);
        } else {
            if (*at == '"' || *at == '\\')
                put(o, "\\", 1);
            put(o, at, size);
        }
        at += size;
    }
    put(o, "\"", 1);
}

void pfq_json_put_name(struct json_out *o, const char *name)
{
    if (o->used && o->buf[o->used - 1] != '{')
        put(o, ",", 1);
    put_string(o, name);
    put(o, ":", 1);
}

void pfq_json_put_text(struct json_out *o, const char *name, const char *text)
{
    pfq_json_put_name(o, name);
    put_string(o, text);
}

void pfq_json_put_uint(struct json_out *o, const char *name, uint64_t value)
{
    char digits[24];
    pfq_json_put_name(o, name);
    snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
    pfq_json_put_raw(o, digits);
}

void pfq_json_put_int(struct json_out *o, const char *name, int value)
{
    char digits[16];
    pfq_json_put_name(o, name);
    snprintf(digits, sizeof digits, "%d", value);
    pfq_json_put_raw(o, digits);
}

void pfq_json_put_bool(struct json_out *o, const char *name, bool value)
{
    pfq_json_put_name(o, name);
    pfq_json_put_raw(o, value ? "true" : "false");
}

void pfq_json_put_null(struct json_out *o, const char *name)
{
    pfq_json_put_name(o, name);
    pfq_json_put_raw(o, "null");
}
