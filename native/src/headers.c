/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "text.h"

#include <arpa/inet.h>
#include <string.h>

_Static_assert(sizeof(struct pfq_headers) == 64, "decoded headers have 64 bytes");

static char *put_byte(char *out, unsigned int value)
{
    if (value >= 100)
        *out++ = (char)('0' + value / 100);
    if (value >= 10)
        *out++ = (char)('0' + value / 10 % 10);
    *out++ = (char)('0' + value % 10);
    return out;
}

size_t pfq_address_text(const uint8_t *address, char *out)
{
    static const uint8_t ip4[12] = {[10] = 0xff, [11] = 0xff};
    if (memcmp(address, ip4, sizeof ip4) != 0)
        return strlen(inet_ntop(AF_INET6, address, out, PFQ_ADDRESS_TEXT));
    char *at = out;
    for (int i = 12; i < 16; i++) {
        at = put_byte(at, address[i]);
        *at++ = '.';
    }
    return (size_t)(at - 1 - out);
}

size_t pfq_addresses_text(const uint8_t *addresses, size_t stride, size_t count, char *out)
{
    char *at = out;
    for (size_t i = 0; i < count; i++) {
        at += pfq_address_text(addresses + i * stride, at);
        *at++ = '\n';
    }
    return (size_t)(at - out);
}

static const void *bytes_of(const struct pfq_record *record)
{
    return (const void *)(uintptr_t)record->data;
}

void pfq_records_matrix(const struct pfq_record *records, size_t count, uint8_t *out, size_t width)
{
    for (size_t i = 0; i < count; i++, out += width) {
        size_t bytes = records[i].caplen < width ? records[i].caplen : width;
        if (bytes)
            memcpy(out, bytes_of(&records[i]), bytes);
        memset(out + bytes, 0, width - bytes);
    }
}

void pfq_records_copy(const struct pfq_record *records, size_t count, uint8_t *out, struct pfq_record *copies)
{
    for (size_t i = 0; i < count; i++) {
        copies[i] = records[i];
        copies[i].data = (uintptr_t)out;
        if (records[i].caplen)
            memcpy(out, bytes_of(&records[i]), records[i].caplen);
        out += records[i].caplen;
    }
}
