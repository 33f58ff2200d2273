/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Arrow tables of every kind of column, in memory that ends where the values end; run under the sanitizers. */
#undef NDEBUG
#include <assert.h>
#include <pfq/arrow.h>
#include <pfq/headers.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 9, COLUMNS = 5 };

static uint8_t *copy(const void *data, size_t bytes)
{
    uint8_t *out = malloc(bytes);
    assert(out);
    return memcpy(out, data, bytes);
}

static struct pfq_column columns[COLUMNS];
static uint8_t *memory[COLUMNS + 2];

static void make(void)
{
    uint64_t numbers[ROWS];
    uint8_t truths[ROWS], valid[ROWS], addresses[ROWS][16] = {0};
    char texts[ROWS][4] = {0};
    struct pfq_record records[ROWS] = {0};
    memory[COLUMNS] = copy("0123456789", 10);
    for (unsigned int i = 0; i < ROWS; i++) {
        numbers[i] = i * 1000;
        truths[i] = i % 2;
        valid[i] = i % 3 != 0;
        addresses[i][15] = (uint8_t)i;
        if (i == 1)
            memset(addresses[i], 0xff, 16); /* the longest there is, but for one */
        memcpy(texts[i], "abcd", i % 5);
        records[i].data = (uintptr_t)memory[COLUMNS];
        records[i].caplen = i;
    }
    records[0].data = 0;
    memory[0] = copy(numbers, sizeof numbers);
    memory[1] = copy(truths, sizeof truths);
    memory[2] = copy(addresses, sizeof addresses);
    memory[3] = copy(texts, sizeof texts);
    memory[4] = copy(records, sizeof records);
    memory[COLUMNS + 1] = copy(valid, sizeof valid);
    columns[0] = (struct pfq_column){"numbers", "L", memory[0], NULL, 8, 0, 8, PFQ_COLUMN_PLAIN};
    columns[1] = (struct pfq_column){"truths", "b", memory[1], NULL, 1, 0, 1, PFQ_COLUMN_BOOL};
    columns[2] = (struct pfq_column){"addresses", "u", memory[2], NULL, 16, 0, 16, PFQ_COLUMN_ADDRESS};
    columns[3] = (struct pfq_column){"texts", "u", memory[3], NULL, 4, 0, 4, PFQ_COLUMN_TEXT};
    columns[4] = (struct pfq_column){"bytes", "z", memory[4], NULL, sizeof records[0], 0, 0, PFQ_COLUMN_BYTES};
}

static void test_schema(void)
{
    struct ArrowSchema *made = pfq_arrow_schema(columns, COLUMNS), taken;
    assert(made && made->n_children == COLUMNS && strcmp(made->format, "+s") == 0);
    assert(strcmp(made->children[2]->name, "addresses") == 0 && strcmp(made->children[2]->format, "u") == 0);
    pfq_arrow_schema_move(made, &taken);
    taken.release(&taken);
    assert(!taken.release);
    pfq_arrow_schema_free(pfq_arrow_schema(columns, COLUMNS));
    pfq_arrow_schema_free(NULL);
}

static void test_values(void)
{
    struct ArrowArray *made = pfq_arrow_array(columns, COLUMNS, ROWS);
    assert(made && made->length == ROWS && made->n_children == COLUMNS);
    assert(((const uint64_t *)made->children[0]->buffers[1])[8] == 8000);
    assert(((const uint8_t *)made->children[1]->buffers[1])[0] == 0xaa);
    const int32_t *ends = made->children[2]->buffers[1];
    const char *text = made->children[2]->buffers[2];
    assert(ends[1] == 2 && memcmp(text, "::", 2) == 0 && ends[2] - ends[1] == 39);
    assert(((const int32_t *)made->children[3]->buffers[1])[ROWS] == 0 + 1 + 2 + 3 + 4 + 0 + 1 + 2 + 3);
    ends = made->children[4]->buffers[1];
    assert(ends[ROWS] == 36 && memcmp((const char *)made->children[4]->buffers[2] + 28, "01234567", 8) == 0);
    struct ArrowArray taken, child;
    pfq_arrow_array_move(made, &taken);
    child = *taken.children[0]; /* a receiver may take one column and release the rest */
    taken.children[0]->release = NULL;
    taken.release(&taken);
    assert(((const uint64_t *)child.buffers[1])[1] == 1000);
    child.release(&child);
}

static void test_missing_values(void)
{
    for (int i = 0; i < COLUMNS; i++) {
        columns[i].valid = memory[COLUMNS + 1];
        columns[i].valid_stride = 1;
    }
    struct ArrowArray *made = pfq_arrow_array(columns, COLUMNS, ROWS);
    assert(made);
    for (int i = 0; i < COLUMNS; i++) {
        const uint8_t *bits = made->children[i]->buffers[0];
        assert(made->children[i]->null_count == 3 && bits[0] == 0xb6 && bits[1] == 1);
    }
    assert(((const int32_t *)made->children[4]->buffers[1])[ROWS] == 36 - 0 - 3 - 6);
    pfq_arrow_array_free(made);
    pfq_arrow_array_free(pfq_arrow_array(columns, COLUMNS, 0));
}

static void test_copies(void)
{
    const struct pfq_record *records = (const struct pfq_record *)memory[4];
    uint8_t *matrix = malloc(ROWS * 4), *bytes = malloc(36);
    struct pfq_record copies[ROWS];
    assert(matrix && bytes);
    pfq_records_matrix(records, ROWS, matrix, 4);
    assert(memcmp(matrix + 4, "0\0\0\0", 4) == 0 && memcmp(matrix + 8 * 4, "0123", 4) == 0);
    pfq_records_copy(records, ROWS, bytes, copies);
    assert(copies[8].caplen == 8 && memcmp((const void *)(uintptr_t)copies[8].data, "01234567", 8) == 0);
    free(matrix);
    free(bytes);
}

int main(void)
{
    make();
    test_schema();
    test_values();
    test_missing_values();
    test_copies();
    for (int i = 0; i < COLUMNS + 2; i++)
        free(memory[i]);
    puts("ok");
    return 0;
}
