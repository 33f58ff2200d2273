/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON as pfqd speaks it: a message lies in one buffer, nothing is allocated, no depth takes more stack. */
#ifndef PFQ_JSON_H
#define PFQ_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PFQ_JSON_DEPTH = 32 };

/* A value in a text that pfq_json_check has found good. */
struct json {
    const char *at, *end;
};

/*
 * Whether the text is one JSON value: in UTF-8 without lone surrogates, not deeper than PFQ_JSON_DEPTH,
 * no integer beyond 64 bits. Then `out` is the value.
 */
bool pfq_json_check(const char *text, size_t size, struct json *out);

/* The member of an object; false when it is no object, or has no such member, or two of them. */
bool pfq_json_member(struct json object, const char *name, struct json *out);

/* What to give to pfq_json_next first; nothing comes when it is no array. */
struct json pfq_json_items(struct json array);
bool pfq_json_next(struct json *rest, struct json *out);

/* The value as a whole number up to `most`; false when it is none. */
bool pfq_json_uint(struct json value, uint64_t most, uint64_t *out);

bool pfq_json_is_true(struct json value);

/*
 * A string as a C string; what does not fit into `size` bytes is left out, by whole characters.
 * Returns the bytes of all of it, or -1 when it is no string, or holds a 0.
 */
long pfq_json_text(struct json value, char *out, size_t size);

/* A text being written; `error` is 0, ENOSPC or EILSEQ (not UTF-8) once something could not be. */
struct json_out {
    char *buf;
    size_t size, used;
    int error;
};

/* Members of an object that pfq_json_put_raw(o, "{") has begun. */
void pfq_json_put_text(struct json_out *o, const char *name, const char *text);
void pfq_json_put_uint(struct json_out *o, const char *name, uint64_t value);
void pfq_json_put_int(struct json_out *o, const char *name, int value);
void pfq_json_put_bool(struct json_out *o, const char *name, bool value);
void pfq_json_put_null(struct json_out *o, const char *name);
void pfq_json_put_name(struct json_out *o, const char *name);
void pfq_json_put_raw(struct json_out *o, const char *text);

/* The character of the escape whose `u` is at `*at`, which moves behind it; -1: it is none. */
long pfq_json_escape(const char **at, const char *end);

/* The whole number that some digits write; false beyond `most`. */
bool pfq_json_digits(const char *at, const char *end, uint64_t most, uint64_t *out);

/* Bytes of the UTF-8 character at `at`; 0 when it is none. */
unsigned pfq_utf8(const char *at, const char *end);

#endif
