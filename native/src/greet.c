/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first request of a connection, and what pfqd says to it. */
#include "client.h"

#include <errno.h>
#include <string.h>

int pfq_greet(struct pfq *q, int64_t end_ns)
{
    char text[512];
    struct json_out o = {.buf = text, .size = sizeof text};
    pfq_json_put_raw(&o, "{");
    pfq_json_put_uint(&o, "id", 0);
    pfq_json_put_text(&o, "call", "hello");
    pfq_json_put_uint(&o, "version", PROTOCOL_VERSION);
    pfq_json_put_text(&o, "client", "libpfq " PFQ_VERSION);
    if (q->token[0])
        pfq_json_put_text(&o, "resume", q->token);
    pfq_json_put_raw(&o, "}");
    return pfq_channel_send(q->control, text, o.used, end_ns);
}

static bool has_number(struct json result, const char *name, uint64_t wanted)
{
    struct json member;
    uint64_t number;
    return pfq_json_member(result, name, &member) && pfq_json_uint(member, UINT32_MAX, &number) && number == wanted;
}

static bool still_ours(const struct pfq *q, struct json result)
{
    struct json resumed, endpoints, endpoint;
    if (!pfq_json_member(result, "resumed", &resumed) || !pfq_json_is_true(resumed) ||
        !pfq_json_member(result, "endpoints", &endpoints))
        return false;
    for (struct json rest = pfq_json_items(endpoints); pfq_json_next(&rest, &endpoint);)
        if (has_number(endpoint, "endpoint", (uint64_t)q->number))
            return true;
    return false;
}

int pfq_greeted(struct pfq *q, const struct heard *heard)
{
    struct json member;
    char code[16], token[TOKEN_BYTES + 1];
    if (heard->kind == HEARD_ERROR) {
        int error = pfq_hear_error(heard->value);
        bool version = pfq_json_member(heard->value, "code", &member) &&
                       pfq_json_text(member, code, sizeof code) > 0 && !strcmp(code, "PFQ205");
        return version ? -EPROTO : error;
    }
    if (!has_number(heard->value, "version", PROTOCOL_VERSION))
        return pfq_fail(EPROTO, "pfqd speaks another version of the protocol than %d", PROTOCOL_VERSION);
    if (!has_number(heard->value, "layout", PFQ_LAYOUT_VERSION))
        return pfq_fail(EPROTO, "pfqd has rings of another layout than %d", PFQ_LAYOUT_VERSION);
    if (q->token[0])
        return still_ours(q, heard->value) ? 0 : pfq_fail(ECONNRESET, "another pfqd runs now, which does not know this session");
    if (!pfq_json_member(heard->value, "token", &member) || pfq_json_text(member, token, sizeof token) != TOKEN_BYTES)
        return pfq_fail(EPROTO, "pfqd gave no token");
    memcpy(q->token, token, sizeof token);
    return 0;
}
