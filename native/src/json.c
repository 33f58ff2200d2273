/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Values of a text that was found good; so nothing here looks for its end. */
#include "json.h"

#include <string.h>

static const char *past_space(const char *at)
{
    while (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')
        at++;
    return at;
}

static const char *past_string(const char *at)
{
    for (at++; *at != '"'; at++)
        at += *at == '\\';
    return at + 1;
}

/* Behind a value that lies inside an array or an object. */
static const char *past_value(const char *at)
{
    int depth = 0;
    do {
        at = past_space(at);
        if (*at == '"') {
            at = past_string(at);
        } else if (*at == '{' || *at == '[') {
            depth++;
            at++;
        } else if (*at == '}' || *at == ']') {
            depth--;
            at++;
        } else if (*at == ',' || *at == ':') {
            at++;
        } else {
            at += strcspn(at, " \t\n\r,:]}");
        }
    } while (depth);
    return at;
}

struct json pfq_json_items(struct json value)
{
    if (value.at == value.end || *value.at != '[')
        return (struct json){value.end, value.end};
    return (struct json){value.at + 1, value.end - 1};
}

bool pfq_json_next(struct json *rest, struct json *out)
{
    if (rest->at == rest->end || (rest->at = past_space(rest->at)) == rest->end)
        return false;
    const char *at = past_space(rest->at + (*rest->at == ','));
    *out = (struct json){at, past_value(at)};
    rest->at = past_space(out->end);
    return true;
}

bool pfq_json_member(struct json value, const char *name, struct json *out)
{
    enum { LONGEST_NAME = 32 };
    char key[LONGEST_NAME];
    unsigned found = 0;
    if (value.at == value.end || *value.at != '{')
        return false;
    const char *at = past_space(value.at + 1);
    while (at < value.end - 1) {
        at = past_space(at + (*at == ','));
        struct json written = {at, past_string(at)};
        at = past_space(past_space(written.end) + 1);
        struct json member = {at, past_value(at)};
        long size = pfq_json_text(written, key, sizeof key);
        if (size >= 0 && size < LONGEST_NAME && !strcmp(key, name)) {
            *out = member;
            found++;
        }
        at = past_space(member.end);
    }
    return found == 1;
}

bool pfq_json_uint(struct json value, uint64_t most, uint64_t *out)
{
    if (value.at == value.end)
        return false;
    for (const char *at = value.at; at < value.end; at++)
        if (*at < '0' || *at > '9')
            return false;
    return pfq_json_digits(value.at, value.end, most, out);
}

bool pfq_json_is_true(struct json value)
{
    return value.end - value.at == 4 && !memcmp(value.at, "true", 4);
}

/* Writes a character as UTF-8. Returns its bytes. */
static unsigned encode(long c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    unsigned size = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (unsigned i = size - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((0xf00 >> size & 0xff) | c);
    return size;
}

long pfq_json_text(struct json value, char *out, size_t size)
{
    static const char escaped[] = "bfnrt", meant[] = "\b\f\n\r\t";
    size_t all = 0, used = 0;
    if (value.at == value.end || *value.at != '"')
        return -1;
    for (const char *at = value.at + 1, *end = value.end - 1; at < end;) {
        char c[4];
        unsigned bytes = 1;
        if (*at != '\\') {
            bytes = pfq_utf8(at, end);
            memcpy(c, at, bytes);
            at += bytes;
        } else if (*++at == 'u') {
            bytes = encode(pfq_json_escape(&at, end), c);
        } else {
            const char *known = strchr(escaped, *at);
            c[0] = known ? meant[known - escaped] : *at;
            at++;
        }
        if (c[0] == 0)
            return -1;
        /* Once one is left out, so are all that follow. */
        if (used == all && size - used > bytes) {
            memcpy(out + used, c, bytes);
            used += bytes;
        }
        all += bytes;
    }
    out[used] = 0;
    return (long)all;
}
