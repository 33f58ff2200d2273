/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What groups do: programs and filters. */
#define _GNU_SOURCE
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* group.set_program with its text as one member; `name` is that of a file, or NULL. */
static int set_program(struct pfq *q, int gid, const char *member, const char *text, const char *name)
{
    int error = pfq_begin_group(q, "group.set_program", gid);
    if (error)
        return error;
    if (text)
        pfq_json_put_text(&q->out, member, text);
    if (name)
        pfq_json_put_text(&q->out, "name", name);
    return pfq_do(q);
}

int pfq_set_group_program(struct pfq *q, int gid, const char *text)
{
    return set_program(q, gid, "text", text, NULL);
}

int pfq_set_group_program_json(struct pfq *q, int gid, const char *json)
{
    return json ? set_program(q, gid, "json", json, NULL) : pfq_fail(EINVAL, "there is no program");
}

/* The text of a file, to be freed; NULL, and pfq_fail was called. */
static char *read_text(const char *path, int *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = malloc(MESSAGE_BYTES + 1);
    ssize_t size = 0, more = -1;
    if (fd >= 0 && text)
        while ((more = read(fd, text + size, (size_t)(MESSAGE_BYTES - size))) > 0)
            size += more;
    *error = more < 0 ? pfq_fail(errno, "%s: %s", path, strerror(errno)) : 0;
    if (fd >= 0)
        close(fd);
    if (!*error && size == MESSAGE_BYTES)
        *error = pfq_fail(E2BIG, "%s: the program is longer than a message", path);
    if (!*error && memchr(text, 0, (size_t)size))
        *error = pfq_fail(EINVAL, "%s is not text", path);
    if (*error) {
        free(text);
        return NULL;
    }
    text[size] = 0;
    return text;
}

int pfq_set_group_program_file(struct pfq *q, int gid, const char *path)
{
    int error;
    if (!path)
        return pfq_fail(EINVAL, "there is no name of a file");
    char *text = read_text(path, &error);
    if (!text)
        return error;
    error = set_program(q, gid, "text", text, path);
    free(text);
    return error;
}

int pfq_group_filter(struct pfq *q, int gid, const char *expression)
{
    if (!expression)
        return pfq_fail(EINVAL, "there is no expression; pfq_group_fprog_reset takes a filter away");
    int error = pfq_begin_group(q, "group.set_filter", gid);
    if (error)
        return error;
    pfq_json_put_text(&q->out, "expression", expression);
    return pfq_do(q);
}

int pfq_group_fprog(struct pfq *q, int gid, const struct sock_fprog *filter)
{
    if (!filter || !filter->filter || filter->len == 0)
        return pfq_fail(EINVAL, "the filter is empty; pfq_group_fprog_reset takes one away");
    int error = pfq_begin_group(q, "group.set_filter", gid);
    if (error)
        return error;
    pfq_json_put_name(&q->out, "instructions");
    for (unsigned i = 0; i < filter->len; i++) {
        const struct sock_filter *f = &filter->filter[i];
        char text[48];
        snprintf(text, sizeof text, "%c[%u,%u,%u,%u]", i ? ',' : '[', f->code, f->jt, f->jf, f->k);
        pfq_json_put_raw(&q->out, text);
    }
    pfq_json_put_raw(&q->out, "]");
    return pfq_do(q);
}

int pfq_group_fprog_reset(struct pfq *q, int gid)
{
    int error = pfq_begin_group(q, "group.set_filter", gid);
    return error ? error : pfq_do(q);
}

int pfq_vlan_filters_enable(struct pfq *q, int gid, int on)
{
    int error = pfq_begin_group(q, "group.vlan", gid);
    if (error)
        return error;
    pfq_json_put_bool(&q->out, "on", on);
    return pfq_do(q);
}

static int change_vlan(struct pfq *q, int gid, const char *what, int vid)
{
    int error = pfq_begin_group(q, "group.vlan", gid);
    if (error)
        return error;
    pfq_json_put_int(&q->out, what, vid);
    return pfq_do(q);
}

int pfq_vlan_set_filter(struct pfq *q, int gid, int vid)
{
    return change_vlan(q, gid, "set", vid);
}

int pfq_vlan_reset_filter(struct pfq *q, int gid, int vid)
{
    return change_vlan(q, gid, "reset", vid);
}
