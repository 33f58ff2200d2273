/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The capsules of Python in which Arrow's structures travel (Arrow PyCapsule interface); part of the extension. */
#ifndef PFQ_CAPSULES_H
#define PFQ_CAPSULES_H

#include <pfq/arrow.h>

/* declarations: begin */

/*
 * Each returns a new capsule, or NULL with Python's exception set, and takes over what it is given. The thread holds
 * Python's lock; pointers to `void` are Python objects.
 */
void *pfq_schema_capsule(struct ArrowSchema *schema);
void *pfq_array_capsule(struct ArrowArray *array);

/*
 * A stream of arrays. `source` is asked through three methods: schema(address) and next(address) fill the structure
 * there, or raise; close() is called when nobody wants more.
 */
void *pfq_stream_capsule(void *source);

/* declarations: end */

#endif
