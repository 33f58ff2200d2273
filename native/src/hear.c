/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a message of pfqd says. Nothing of it is believed before it is looked at. */
#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { MAX_ERRNO = 4095 };

static struct heard nonsense(const char *why)
{
    pfq_fail(EPROTO, "pfqd said what is not of the protocol: %s", why);
    return (struct heard){.kind = HEARD_NONSENSE};
}

static struct heard hear_event(struct json message, struct json event)
{
    struct heard heard = {.kind = HEARD_OTHER, .id = UINT64_MAX};
    struct json endpoint;
    char name[16];
    if (pfq_json_text(event, name, sizeof name) < 0)
        return nonsense("an event without a name");
    if (!strcmp(name, "stopping")) {
        heard.kind = HEARD_STOPPING;
    } else if (!strcmp(name, "failed")) {
        if (!pfq_json_member(message, "endpoint", &endpoint) || !pfq_json_uint(endpoint, INT32_MAX, &heard.endpoint) ||
            !pfq_json_member(message, "error", &heard.value))
            return nonsense("`failed` without an end-point or an error");
        heard.kind = HEARD_FAILED;
    }
    return heard; /* others may come with later versions */
}

struct heard pfq_hear(const char *text, size_t size)
{
    struct heard heard = {.id = UINT64_MAX};
    struct json message, id, more;
    if (!pfq_json_check(text, size, &message) || *message.at != '{')
        return nonsense("not an object of JSON");
    if (pfq_json_member(message, "event", &heard.value))
        return hear_event(message, heard.value);
    if (!pfq_json_member(message, "id", &id))
        return nonsense("neither an answer nor an event");
    /* null: pfqd could not read which request it answers. */
    if (!pfq_json_uint(id, INT64_MAX, &heard.id) && *id.at != 'n')
        return nonsense("the number of an answer is none");
    if (pfq_json_member(message, "error", &heard.value))
        heard.kind = HEARD_ERROR;
    else if (pfq_json_member(message, "more", &more) && pfq_json_is_true(more))
        heard.kind = HEARD_MORE;
    else if (pfq_json_member(message, "result", &heard.value))
        heard.kind = HEARD_RESULT;
    else
        return nonsense("an answer with neither result nor error");
    return heard;
}

/* The text of a member; empty when it has none. */
static void text_of(struct json object, const char *name, char *out, size_t size)
{
    struct json member;
    if (!pfq_json_member(object, name, &member) || pfq_json_text(member, out, size) < 0)
        out[0] = 0;
}

/* The first of the faults that a program or a configuration has, and how many; 0: none are listed. */
static unsigned first_fault(struct json error, struct json *first)
{
    struct json faults, fault;
    unsigned count = 0;
    if (!pfq_json_member(error, "faults", &faults))
        return 0;
    for (struct json rest = pfq_json_items(faults); pfq_json_next(&rest, &fault); count++)
        if (count == 0)
            *first = fault;
    return count;
}

static uint64_t number_of(struct json object, const char *name, uint64_t most)
{
    struct json member;
    uint64_t number;
    return pfq_json_member(object, name, &member) && pfq_json_uint(member, most, &number) ? number : 0;
}

int pfq_hear_error(struct json error)
{
    char code[16], message[TEXT_BYTES / 2], hint[TEXT_BYTES / 4], file[128], place[192] = "", more[48] = "";
    uint64_t number = number_of(error, "errno", MAX_ERRNO);
    unsigned faults = first_fault(error, &error);
    if (faults > 1)
        snprintf(more, sizeof more, " (and %u more)", faults - 1);
    text_of(error, "code", code, sizeof code);
    text_of(error, "message", message, sizeof message);
    text_of(error, "hint", hint, sizeof hint);
    text_of(error, "file", file, sizeof file);
    if (file[0])
        snprintf(place, sizeof place, "%s:%u:%u: ", file, (unsigned)number_of(error, "line", INT32_MAX),
                 (unsigned)number_of(error, "column", INT32_MAX));
    return pfq_fail(number ? (int)number : EINVAL, "%s%s%s%s%s%s%s%s", place, message[0] ? message : "pfqd refused",
                    code[0] ? " [" : "", code, code[0] ? "]" : "", hint[0] ? "; " : "", hint, more);
}
