/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char last[2048];

int pfq_fail(int error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(last, sizeof last, format, args);
    va_end(args);
    return -error;
}

const char *pfq_error_last(void)
{
    return last;
}
