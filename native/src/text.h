/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PFQ_TEXT_H
#define PFQ_TEXT_H

#include <pfq/headers.h>

/* Writes an address of 16 bytes as text; `out` has room for PFQ_ADDRESS_TEXT bytes. Returns the bytes written. */
size_t pfq_address_text(const uint8_t *address, char *out);

#endif
