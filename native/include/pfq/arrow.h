/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Columns as a table in the Arrow C data interface (https://arrow.apache.org/docs/format/CDataInterface.html).
 * What is made here owns its memory and may be used and released in any thread.
 */
#ifndef PFQ_ARROW_H
#define PFQ_ARROW_H

#include <pfq/record.h>

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4

struct ArrowSchema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

#endif

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* declarations: begin */

/* What the values of a column are. */
enum pfq_column_kind {
    PFQ_COLUMN_PLAIN,   /* numbers of `width` bytes */
    PFQ_COLUMN_BOOL,    /* a byte each, 0 or 1 */
    PFQ_COLUMN_ADDRESS, /* IP addresses of 16 bytes, which become text */
    PFQ_COLUMN_TEXT,    /* text in `width` bytes, filled up with zeros */
    PFQ_COLUMN_BYTES,   /* `struct pfq_record`s: the captured bytes */
};

/* One column. Its values, and the bytes that say which are there, are any number of bytes apart. */
struct pfq_column {
    const char *name;
    const char *format; /* Arrow's word for the type */
    const uint8_t *data;
    const uint8_t *valid; /* 0 where there is no value; NULL: they are all there */
    int64_t stride;
    int64_t valid_stride;
    uint32_t width;
    uint32_t kind; /* enum pfq_column_kind */
};

/* The type of a table with these columns; NULL: no memory. Free it by pfq_arrow_schema_free, or move it. */
struct ArrowSchema *pfq_arrow_schema(const struct pfq_column *columns, size_t count);

/* The table, `rows` long, all values copied; NULL: no memory, or over 2 GiB of text or bytes in a column. */
struct ArrowArray *pfq_arrow_array(const struct pfq_column *columns, size_t count, int64_t rows);

/* Releases what was not moved, and frees the rest. */
void pfq_arrow_schema_free(struct ArrowSchema *schema);
void pfq_arrow_array_free(struct ArrowArray *array);

/* Moves the content to a structure of the receiver, and frees the rest. */
void pfq_arrow_schema_move(struct ArrowSchema *schema, void *to);
void pfq_arrow_array_move(struct ArrowArray *array, void *to);

/* declarations: end */

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
