/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "capsules.h"

#include <Python.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct ArrowArrayStream {
    int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *out);
    int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *out);
    const char *(*get_last_error)(struct ArrowArrayStream *);
    void (*release)(struct ArrowArrayStream *);
    void *private_data;
};

static const char schema_name[] = "arrow_schema", array_name[] = "arrow_array", stream_name[] = "arrow_array_stream";

static void drop_schema(PyObject *capsule)
{
    pfq_arrow_schema_free(PyCapsule_GetPointer(capsule, schema_name));
}

static void drop_array(PyObject *capsule)
{
    pfq_arrow_array_free(PyCapsule_GetPointer(capsule, array_name));
}

void *pfq_schema_capsule(struct ArrowSchema *schema)
{
    PyObject *capsule = PyCapsule_New(schema, schema_name, drop_schema);
    if (!capsule)
        pfq_arrow_schema_free(schema);
    return capsule;
}

void *pfq_array_capsule(struct ArrowArray *array)
{
    PyObject *capsule = PyCapsule_New(array, array_name, drop_array);
    if (!capsule)
        pfq_arrow_array_free(array);
    return capsule;
}

/* streams */

/* Where a stream's tables come from, and what was wrong last. */
struct source {
    PyObject *object;
    char error[512];
};

/* A call from foreign code, in any thread, perhaps in the middle of an exception. */
struct call {
    PyGILState_STATE lock;
    PyObject *exception[3];
};

static struct call enter(void)
{
    struct call call = {.lock = PyGILState_Ensure()};
    PyErr_Fetch(&call.exception[0], &call.exception[1], &call.exception[2]);
    return call;
}

static void leave(struct call *call)
{
    PyErr_Restore(call->exception[0], call->exception[1], call->exception[2]);
    PyGILState_Release(call->lock);
}

/* Keeps the sentence of the exception that is set, and clears it. Returns its number. */
static int keep_error(struct source *source)
{
    int code = PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) ? EINTR : EIO;
    PyObject *kind, *value, *trace;
    PyErr_Fetch(&kind, &value, &trace);
    PyErr_NormalizeException(&kind, &value, &trace);
    PyObject *text = value ? PyObject_Str(value) : NULL;
    PyObject *bytes = text ? PyUnicode_AsUTF8String(text) : NULL;
    const char *sentence = bytes ? PyBytes_AsString(bytes) : NULL;
    if (!sentence || !*sentence)
        sentence = code == EINTR ? "interrupted" : "the source of the stream failed";
    strncpy(source->error, sentence, sizeof source->error - 1);
    Py_XDECREF(bytes);
    Py_XDECREF(text);
    Py_XDECREF(kind);
    Py_XDECREF(value);
    Py_XDECREF(trace);
    PyErr_Clear();
    return code;
}

static int ask(struct ArrowArrayStream *stream, const char *method, void *out)
{
    struct source *source = stream->private_data;
    struct call call = enter();
    PyObject *answer = PyObject_CallMethod(source->object, method, "K", (unsigned long long)(uintptr_t)out);
    int code = answer ? 0 : keep_error(source);
    Py_XDECREF(answer);
    leave(&call);
    return code;
}

static int get_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out)
{
    return ask(stream, "schema", out);
}

static int get_next(struct ArrowArrayStream *stream, struct ArrowArray *out)
{
    memset(out, 0, sizeof *out); /* which means the end, unless it is filled */
    return ask(stream, "next", out);
}

static const char *get_last_error(struct ArrowArrayStream *stream)
{
    struct source *source = stream->private_data;
    return source->error[0] ? source->error : NULL;
}

static void release(struct ArrowArrayStream *stream)
{
    struct source *source = stream->private_data;
    stream->release = NULL;
    if (!Py_IsInitialized())
        return; /* the object went with Python */
    struct call call = enter();
    PyObject *answer = PyObject_CallMethod(source->object, "close", NULL);
    if (!answer)
        PyErr_WriteUnraisable(source->object);
    Py_XDECREF(answer);
    Py_DECREF(source->object);
    free(source);
    leave(&call);
}

static void free_stream(struct ArrowArrayStream *stream)
{
    if (stream->release)
        stream->release(stream);
    free(stream);
}

static void drop_stream(PyObject *capsule)
{
    free_stream(PyCapsule_GetPointer(capsule, stream_name));
}

void *pfq_stream_capsule(void *object)
{
    struct source *source = calloc(1, sizeof *source);
    struct ArrowArrayStream *stream = calloc(1, sizeof *stream);
    if (!source || !stream) {
        free(source);
        free(stream);
        return PyErr_NoMemory();
    }
    source->object = object;
    Py_INCREF(source->object);
    *stream = (struct ArrowArrayStream){get_schema, get_next, get_last_error, release, source};
    PyObject *capsule = PyCapsule_New(stream, stream_name, drop_stream);
    if (!capsule)
        free_stream(stream);
    return capsule;
}
