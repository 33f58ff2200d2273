/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer target: messages of pfqd.
 *
 * The input is a message, in memory of exactly its size. What it says is looked at in every way that the
 * client has. A text that is JSON is written again from its values, and must then say the same.
 */
#include "../src/client.h"
#include "check.h"

#include <errno.h>

enum { LONGEST_TEXT = 64 };

/* Reads a value as everything that it might be, and all that is in it. */
static uint64_t look(struct json value, int depth)
{
    uint64_t number = 0, digest = 0;
    struct json member, rest;
    char text[LONGEST_TEXT];
    REQUIRE(value.at < value.end && depth <= PFQ_JSON_DEPTH);
    long size = pfq_json_text(value, text, sizeof text);
    if (size >= 0) {
        REQUIRE(*value.at == '"' && strlen(text) <= (size_t)size);
        REQUIRE(size >= LONGEST_TEXT || strlen(text) == (size_t)size);
        for (const char *at = text; *at; at += pfq_utf8(at, text + strlen(text)))
            REQUIRE(pfq_utf8(at, text + strlen(text)));
        digest = mix_bytes(digest, text, strlen(text));
    }
    if (pfq_json_uint(value, UINT64_MAX, &number))
        REQUIRE(*value.at >= '0' && *value.at <= '9');
    digest = mix(mix(digest, number), pfq_json_is_true(value));
    rest = pfq_json_items(value);
    while (pfq_json_next(&rest, &member)) {
        REQUIRE(member.at > value.at && member.end < value.end && member.end <= rest.at);
        digest = mix(digest, look(member, depth + 1));
    }
    static const char *const names[] = {"id", "result", "error", "endpoint", "code", "message", "faults"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (pfq_json_member(value, names[i], &member)) {
            REQUIRE(member.at > value.at && member.end < value.end);
            digest = mix(digest, look(member, depth + 1));
        }
    return digest;
}

/* A text that was read is the same once it was written and read again. */
static void write_again(struct json value)
{
    char text[512], written[8 * sizeof text], again[sizeof text];
    long size = pfq_json_text(value, text, sizeof text);
    if (size < 0)
        return;
    struct json_out o = {.buf = written, .size = sizeof written};
    pfq_json_put_raw(&o, "{");
    pfq_json_put_text(&o, text, text);
    pfq_json_put_raw(&o, "}");
    REQUIRE(o.error == 0);
    struct json object, member;
    REQUIRE(pfq_json_check(written, o.used, &object));
    if (strlen(text) >= 32)
        return; /* longer names are nobody's */
    REQUIRE(pfq_json_member(object, text, &member));
    REQUIRE(pfq_json_text(member, again, sizeof again) == (long)strlen(text) && !strcmp(text, again));
}

static void hear(const char *text, size_t size)
{
    struct heard heard = pfq_hear(text, size);
    if (heard.kind == HEARD_NONSENSE)
        REQUIRE(pfq_error_last()[0]);
    if (heard.kind == HEARD_RESULT || heard.kind == HEARD_ERROR)
        look(heard.value, 1);
    if (heard.kind == HEARD_ERROR || heard.kind == HEARD_FAILED) {
        int code = pfq_hear_error(heard.value);
        REQUIRE(code < 0 && code >= -4095 && pfq_error_last()[0]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = take_memory(size);
    if (size)
        memcpy(text, data, size);
    struct json value;
    if (size && pfq_json_check(text, size, &value)) {
        uint64_t digest = look(value, 0);
        REQUIRE(digest == look(value, 0));
        write_again(value);
    }
    if (size)
        hear(text, size);
    free(text);
    return 0;
}
