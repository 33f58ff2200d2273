/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether a text is JSON: everything in it is read with bounds. */
#include "json.h"

#include <string.h>

struct scan {
    const char *at, *end;
};

static void skip_space(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

static bool take(struct scan *s, char c)
{
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

static bool take_word(struct scan *s, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(s->end - s->at) < size || memcmp(s->at, word, size))
        return false;
    s->at += size;
    return true;
}

unsigned pfq_utf8(const char *at, const char *end)
{
    const unsigned char *c = (const unsigned char *)at;
    size_t left = (size_t)(end - at);
    if (left && c[0] < 0x80)
        return 1;
    unsigned size = !left ? 0 : c[0] >= 0xf0 ? 4 : c[0] >= 0xe0 ? 3 : c[0] >= 0xc2 ? 2 : 0;
    if (size == 0 || c[0] > 0xf4 || left < size)
        return 0;
    for (unsigned i = 1; i < size; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    /* Longer than needed, a surrogate, or beyond the last character. */
    bool wrong = (c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) || (c[0] == 0xf0 && c[1] < 0x90) ||
                 (c[0] == 0xf4 && c[1] > 0x8f);
    return wrong ? 0 : size;
}

/* The number that four hexadecimal digits stand for, or -1. */
static long hex4(const char *at, const char *end)
{
    long value = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        if (c >= '0' && c <= '9')
            value = value << 4 | (c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            value = value << 4 | ((c | 0x20) - 'a' + 10);
        else
            return -1;
    }
    return value;
}

long pfq_json_escape(const char **at, const char *end)
{
    long first = hex4(*at + 1, end);
    if (first < 0)
        return -1;
    *at += 5;
    if (first < 0xd800 || first > 0xdfff)
        return first;
    if (first > 0xdbff || end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u')
        return -1;
    long second = hex4(*at + 2, end);
    *at += 6;
    return second < 0xdc00 || second > 0xdfff ? -1 : 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
}

static bool check_string(struct scan *s)
{
    if (!take(s, '"'))
        return false;
    while (s->at < s->end && *s->at != '"') {
        if ((unsigned char)*s->at < 0x20)
            return false;
        if (!take(s, '\\')) {
            unsigned size = pfq_utf8(s->at, s->end);
            if (size == 0)
                return false;
            s->at += size;
        } else if (s->at < s->end && *s->at == 'u') {
            if (pfq_json_escape(&s->at, s->end) < 0)
                return false;
        } else if (s->at == s->end || !strchr("\"\\/bfnrt", *s->at++) || !s->at[-1]) {
            return false;
        }
    }
    return take(s, '"');
}

static size_t digits(struct scan *s)
{
    const char *first = s->at;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return (size_t)(s->at - first);
}

bool pfq_json_digits(const char *at, const char *end, uint64_t most, uint64_t *out)
{
    uint64_t value = 0;
    for (; at < end; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (value > (most - digit) / 10 || digit > most)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

static bool check_number(struct scan *s)
{
    bool negative = take(s, '-');
    const char *first = s->at;
    size_t whole = digits(s);
    if (whole == 0 || (whole > 1 && *first == '0'))
        return false;
    uint64_t value;
    const char *end = s->at;
    bool fraction = take(s, '.');
    if (fraction && !digits(s))
        return false;
    bool exponent = take(s, 'e') || take(s, 'E');
    bool sign = exponent && (take(s, '-') || take(s, '+'));
    if ((exponent || sign) && !digits(s))
        return false;
    return fraction || exponent || pfq_json_digits(first, end, negative ? UINT64_C(1) << 63 : UINT64_MAX, &value);
}

static bool check_scalar(struct scan *s)
{
    switch (*s->at) {
    case '"':
        return check_string(s);
    case 't':
        return take_word(s, "true");
    case 'f':
        return take_word(s, "false");
    case 'n':
        return take_word(s, "null");
    default:
        return check_number(s);
    }
}

static bool check_key(struct scan *s)
{
    skip_space(s);
    if (!check_string(s))
        return false;
    skip_space(s);
    return take(s, ':');
}

bool pfq_json_check(const char *text, size_t size, struct json *out)
{
    struct scan s = {text, text + size};
    uint32_t objects = 0; /* bit n: what is open at depth n is an object */
    unsigned depth = 0;
    skip_space(&s);
    out->at = s.at;
    for (;;) {
        skip_space(&s);
        if (s.at == s.end)
            return false;
        bool object = *s.at == '{';
        if (object || *s.at == '[') {
            if (depth == PFQ_JSON_DEPTH)
                return false;
            objects = (objects & ~(UINT32_C(1) << depth)) | (uint32_t)object << depth;
            depth++;
            s.at++;
            skip_space(&s);
            if (s.at == s.end || *s.at != (object ? '}' : ']')) {
                if (object && !check_key(&s))
                    return false;
                continue;
            }
        } else if (!check_scalar(&s)) {
            return false;
        }
        /* A value is complete, or the bracket that completes one comes next. */
        for (;;) {
            out->end = s.at;
            skip_space(&s);
            if (depth == 0)
                return s.at == s.end;
            object = objects >> (depth - 1) & 1;
            if (take(&s, ',')) {
                if (object && !check_key(&s))
                    return false;
                break;
            }
            if (!take(&s, object ? '}' : ']'))
                return false;
            depth--;
        }
    }
}
