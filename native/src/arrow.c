/* SPDX-License-Identifier: GPL-2.0-or-later */
#define _POSIX_C_SOURCE 200809L /* strdup, strnlen */
#include "text.h"

#include <pfq/arrow.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64, VALIDITY = 0, FIXED_DATA = 1, OFFSETS = 1, VARIABLE_DATA = 2, BUFFERS = 3 };

/* Memory as Arrow wants it: aligned, and whole multiples of the alignment long. */
static void *buffer(size_t bytes)
{
    return aligned_alloc(ALIGNMENT, (bytes + ALIGNMENT) / ALIGNMENT * ALIGNMENT);
}

/* types */

static void release_schema(struct ArrowSchema *schema)
{
    for (int64_t i = 0; i < schema->n_children; i++) {
        struct ArrowSchema *child = schema->children[i];
        if (child && child->release)
            child->release(child);
        free(child);
    }
    free(schema->children);
    free((char *)schema->name);
    free((char *)schema->format);
    schema->release = NULL;
}

static struct ArrowSchema *new_schema(const char *name, const char *format, int64_t flags, size_t children)
{
    struct ArrowSchema *schema = calloc(1, sizeof *schema);
    if (!schema)
        return NULL;
    *schema = (struct ArrowSchema){.name = strdup(name), .format = strdup(format), .flags = flags,
                                   .release = release_schema};
    if (children) {
        schema->children = calloc(children, sizeof(struct ArrowSchema *));
        schema->n_children = schema->children ? (int64_t)children : 0;
    }
    if (schema->name && schema->format && (schema->children || !children))
        return schema;
    pfq_arrow_schema_free(schema);
    return NULL;
}

struct ArrowSchema *pfq_arrow_schema(const struct pfq_column *columns, size_t count)
{
    struct ArrowSchema *table = new_schema("", "+s", 0, count);
    for (size_t i = 0; table && i < count; i++) {
        const struct pfq_column *column = &columns[i];
        table->children[i] = new_schema(column->name, column->format, column->valid ? ARROW_FLAG_NULLABLE : 0, 0);
        if (!table->children[i]) {
            pfq_arrow_schema_free(table);
            table = NULL;
        }
    }
    return table;
}

void pfq_arrow_schema_free(struct ArrowSchema *schema)
{
    if (schema && schema->release)
        schema->release(schema);
    free(schema);
}

void pfq_arrow_schema_move(struct ArrowSchema *schema, void *to)
{
    memcpy(to, schema, sizeof *schema);
    free(schema);
}

/* values */

static void release_array(struct ArrowArray *array)
{
    for (int64_t i = 0; i < array->n_children; i++) {
        struct ArrowArray *child = array->children[i];
        if (child && child->release)
            child->release(child);
        free(child);
    }
    for (int64_t i = 0; i < array->n_buffers; i++)
        free((void *)array->buffers[i]);
    free(array->children);
    free(array->buffers);
    array->release = NULL;
}

static struct ArrowArray *new_array(int64_t rows, int64_t buffers, size_t children)
{
    struct ArrowArray *array = calloc(1, sizeof *array);
    if (!array)
        return NULL;
    *array = (struct ArrowArray){.length = rows, .release = release_array};
    array->buffers = calloc((size_t)buffers, sizeof(void *));
    array->children = children ? calloc(children, sizeof(struct ArrowArray *)) : NULL;
    if (array->buffers && (array->children || !children)) {
        array->n_buffers = buffers;
        array->n_children = (int64_t)children;
        return array;
    }
    pfq_arrow_array_free(array);
    return NULL;
}

static bool is_there(const struct pfq_column *column, int64_t row)
{
    return !column->valid || column->valid[row * column->valid_stride];
}

static const uint8_t *value_at(const struct pfq_column *column, int64_t row)
{
    return column->data + row * column->stride;
}

/* A bit for each row, from the lowest of the first byte on. */
static uint8_t *bits(const uint8_t *bytes, int64_t stride, int64_t rows, int64_t *clear)
{
    uint8_t *out = buffer((size_t)rows / 8 + 1);
    if (!out)
        return NULL;
    memset(out, 0, (size_t)rows / 8 + 1);
    int64_t set = 0;
    for (int64_t row = 0; row < rows; row++) {
        unsigned int bit = bytes[row * stride] != 0;
        out[row / 8] |= (uint8_t)(bit << (row & 7));
        set += bit;
    }
    *clear = rows - set;
    return out;
}

static void *plain_values(const struct pfq_column *column, int64_t rows)
{
    uint8_t *out = buffer((size_t)rows * column->width);
    if (!out)
        return NULL;
    uint8_t *at = out;
    for (int64_t row = 0; row < rows; row++, at += column->width) {
        const uint8_t *value = value_at(column, row);
        switch (column->width) { /* so that each copy is one instruction */
        case 1: *at = *value; break;
        case 2: memcpy(at, value, 2); break;
        case 4: memcpy(at, value, 4); break;
        case 8: memcpy(at, value, 8); break;
        default: memcpy(at, value, column->width);
        }
    }
    return out;
}

/* The most bytes that the value of a row takes. */
static size_t room(const struct pfq_column *column, int64_t row)
{
    switch (column->kind) {
    case PFQ_COLUMN_ADDRESS: return PFQ_ADDRESS_TEXT;
    case PFQ_COLUMN_TEXT: return column->width;
    default: return ((const struct pfq_record *)value_at(column, row))->caplen;
    }
}

static size_t put_value(const struct pfq_column *column, int64_t row, char *out)
{
    const uint8_t *value = value_at(column, row);
    if (column->kind == PFQ_COLUMN_ADDRESS)
        return pfq_address_text(value, out);
    size_t bytes = room(column, row);
    if (column->kind == PFQ_COLUMN_TEXT)
        bytes = strnlen((const char *)value, bytes);
    else
        value = (const uint8_t *)(uintptr_t)((const struct pfq_record *)value)->data;
    if (bytes)
        memcpy(out, value, bytes);
    return bytes;
}

/* Offsets, and the bytes that they divide. */
static bool variable_values(const struct pfq_column *column, int64_t rows, const void **buffers)
{
    size_t most = 0;
    for (int64_t row = 0; row < rows; row++)
        most += room(column, row);
    if (column->kind == PFQ_COLUMN_BYTES && most > INT32_MAX)
        return false;
    int32_t *offsets = buffer(((size_t)rows + 1) * sizeof *offsets);
    char *out = buffer(most);
    buffers[OFFSETS] = offsets;
    buffers[VARIABLE_DATA] = out;
    if (!offsets || !out)
        return false;
    size_t end = 0;
    offsets[0] = 0;
    for (int64_t row = 0; row < rows; row++) {
        if (is_there(column, row))
            end += put_value(column, row, out + end);
        if (end > INT32_MAX)
            return false;
        offsets[row + 1] = (int32_t)end;
    }
    return true;
}

static bool fill(struct ArrowArray *array, const struct pfq_column *column, int64_t rows)
{
    if (column->valid) {
        array->buffers[VALIDITY] = bits(column->valid, column->valid_stride, rows, &array->null_count);
        if (!array->buffers[VALIDITY])
            return false;
    }
    if (array->n_buffers == BUFFERS)
        return variable_values(column, rows, array->buffers);
    int64_t clear;
    array->buffers[FIXED_DATA] = column->kind == PFQ_COLUMN_BOOL ? bits(column->data, column->stride, rows, &clear)
                                                                 : plain_values(column, rows);
    return array->buffers[FIXED_DATA];
}

struct ArrowArray *pfq_arrow_array(const struct pfq_column *columns, size_t count, int64_t rows)
{
    struct ArrowArray *table = new_array(rows, 1, count);
    for (size_t i = 0; table && i < count; i++) {
        bool fixed = columns[i].kind == PFQ_COLUMN_PLAIN || columns[i].kind == PFQ_COLUMN_BOOL;
        struct ArrowArray *child = table->children[i] = new_array(rows, fixed ? BUFFERS - 1 : BUFFERS, 0);
        if (!child || !fill(child, &columns[i], rows)) {
            pfq_arrow_array_free(table);
            table = NULL;
        }
    }
    return table;
}

void pfq_arrow_array_free(struct ArrowArray *array)
{
    if (array && array->release)
        array->release(array);
    free(array);
}

void pfq_arrow_array_move(struct ArrowArray *array, void *to)
{
    memcpy(to, array, sizeof *array);
    free(array);
}
