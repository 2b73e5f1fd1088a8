/* SPDX-License-Identifier: Apache-2.0 */
/*
 * graph.c - stream capture and graphs
 *
 * A node holds the op that its call would have queued. Launching an executable graph queues copies
 * of its ops in one stream, in an order in which every node follows those it depends on; that is
 * one of the orders CUDA allows. A node added by hand is captured, too: from a stream of its own
 * whose dependencies are the ones given.
 */
#include "driver.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 32u /* graphs inside graphs */

struct user {
    uint64_t handle;
    unsigned refs;
    CUhostFn destroy;
    void *data;
};

struct node {
    struct link of_graph;
    uint64_t handle;
    struct graph *graph;
    CUgraphNodeType type;
    struct op *op;       /* NULL: empty, a graph, or an event's */
    struct graph *child; /* ours */
    uint64_t event;      /* handle */
    uint64_t origin;     /* handle of the node that this one was copied from */
    bool enabled;
    struct node **deps;
    size_t dep_count;
    unsigned mark;
};

struct graph {
    uint64_t handle; /* 0: inside another graph, or executable */
    struct link nodes;
    size_t node_count;
    struct user **users;
    size_t user_count;
};

struct exec {
    uint64_t handle;
    struct graph *graph; /* a copy, in an order to launch it in */
    cuuint64_t flags;
};

struct capture {
    struct graph *graph;
    struct stream *origin;
    uint64_t id;
    bool invalid;
    bool builder; /* makes one node by hand */
    CUgraphNode *shown;
};

static uint64_t last_capture;

/* ---- nodes and graphs ------------------------------------------------------------------------ */

static struct graph *graph_new(void)
{
    struct graph *g = calloc(1, sizeof(*g));

    if (g)
        list_init(&g->nodes);
    return g;
}

static void user_drop(struct user *u, unsigned count)
{
    u->refs -= count;
    if (u->refs)
        return;
    handle_free(u->handle);
    u->destroy(u->data); /* may not call CUDA, as the manual says */
    free(u);
}

static bool user_keep(struct graph *g, struct user *u)
{
    struct user **more = realloc(g->users, (g->user_count + 1) * sizeof(struct user *));

    if (!more)
        return false;
    g->users = more;
    more[g->user_count++] = u;
    return true;
}

static void graph_free(struct graph *g);

static void node_free(struct node *n)
{
    if (!n)
        return;
    list_remove(&n->of_graph);
    if (n->handle)
        handle_free(n->handle);
    if (n->op)
        op_discard(n->op);
    if (n->child)
        graph_free(n->child);
    free(n->deps);
    free(n);
}

static void graph_free(struct graph *g)
{
    LIST_EACH(it, &g->nodes)
    {
        node_free(CONTAINER(it, struct node, of_graph));
    }
    for (size_t i = 0; i < g->user_count; i++)
        user_drop(g->users[i], 1);
    if (g->handle)
        handle_free(g->handle);
    free(g->users);
    free(g);
}

static bool depends(const struct node *n, const struct node *on)
{
    for (size_t i = 0; i < n->dep_count; i++)
        if (n->deps[i] == on)
            return true;
    return false;
}

static bool depend(struct node *n, struct node *on)
{
    struct node **more = realloc(n->deps, (n->dep_count + 1) * sizeof(struct node *));

    if (!more)
        return false;
    n->deps = more;
    more[n->dep_count++] = on;
    return true;
}

/* Takes op and child over; on failure they are freed. */
static struct node *node_new(struct graph *g, CUgraphNodeType type, struct op *op,
                             struct graph *child)
{
    struct node *n = calloc(1, sizeof(*n));

    if (!n) {
        if (op)
            op_discard(op);
        if (child)
            graph_free(child);
        return NULL;
    }
    list_append(&g->nodes, &n->of_graph);
    n->graph = g;
    n->type = type;
    n->op = op;
    n->child = child;
    n->enabled = true;
    n->handle = handle_new(OBJECT_NODE, n);
    if (!n->handle) {
        node_free(n);
        return NULL;
    }
    g->node_count++;
    return n;
}

static struct op *op_copy(const struct op *from)
{
    struct op *op = op_new(from->kind);
    size_t bytes;

    if (!op)
        return NULL;
    switch (from->kind) {
    case OP_KERNEL:
        op->grid = from->grid;
        list_init(&op->grid.runnable);
        op->grid.params = op->grid.small;
        if (from->grid.params != from->grid.small) {
            bytes = sg_function_info(from->grid.launch.fn)->param_bytes;
            op->grid.params = malloc(bytes);
            if (!op->grid.params) {
                op->grid.params = op->grid.small;
                op_discard(op);
                return NULL;
            }
            memcpy(op->grid.params, from->grid.params, bytes);
        }
        op->grid.launch.params = op->grid.params;
        break;
    case OP_COPY:
        op->copy = from->copy;
        if (from->staging) {
            op->staging = malloc(copy_bytes(&from->copy));
            if (!op->staging) {
                op_discard(op);
                return NULL;
            }
            memcpy(op->staging, from->staging, copy_bytes(&from->copy));
            op->copy.src = (uint64_t)(uintptr_t)op->staging;
        }
        break;
    case OP_FILL:
        op->fill = from->fill;
        break;
    case OP_HOST:
        op->host = from->host;
        break;
    case OP_WAIT_VALUE:
    case OP_WRITE_VALUE:
        op->value = from->value;
        break;
    default:
        break;
    }
    return op;
}

/* A deep copy; ordered: nodes follow what they depend on. NULL: no memory, or a circle. */
static struct graph *graph_copy(const struct graph *from, unsigned depth, bool *circle)
{
    struct graph *g = depth < DEPTH_MAX ? graph_new() : NULL;
    size_t made = 0, before;

    if (!g)
        return NULL;
    LIST_EACH(it, &from->nodes)
    {
        CONTAINER(it, struct node, of_graph)->mark = 0;
    }
    do {
        before = made;
        LIST_EACH(it, &from->nodes)
        {
            struct node *n = CONTAINER(it, struct node, of_graph), *copy;
            struct graph *child = NULL;
            struct op *op = NULL;
            bool ready = !n->mark;

            for (size_t i = 0; i < n->dep_count && ready; i++)
                ready = n->deps[i]->mark;
            if (!ready)
                continue;
            if (n->op)
                op = op_copy(n->op);
            if (n->child)
                child = graph_copy(n->child, depth + 1, circle);
            if ((n->op && !op) || (n->child && !child)) {
                if (op)
                    op_discard(op);
                goto fail;
            }
            copy = node_new(g, n->type, op, child);
            if (!copy)
                goto fail;
            copy->event = n->event;
            copy->enabled = n->enabled;
            copy->origin = n->handle;
            n->mark = 1;
            made++;
            for (size_t i = 0; i < n->dep_count; i++) {
                LIST_EACH(other, &g->nodes)
                {
                    struct node *on = CONTAINER(other, struct node, of_graph);
                    if (on->origin == n->deps[i]->handle && !depend(copy, on))
                        goto fail;
                }
            }
        }
    } while (made != before);
    if (made != from->node_count) {
        *circle = true;
        goto fail;
    }
    for (size_t i = 0; i < from->user_count; i++) {
        if (!user_keep(g, from->users[i]))
            goto fail;
        from->users[i]->refs++;
    }
    return g;
fail:
    graph_free(g);
    return NULL;
}

static struct graph *graph_get(CUgraph graph)
{
    return handle_get(HANDLE(graph), OBJECT_GRAPH);
}

static struct node *node_get(CUgraphNode node)
{
    return handle_get(HANDLE(node), OBJECT_NODE);
}

static struct exec *exec_get(CUgraphExec exec)
{
    return handle_get(HANDLE(exec), OBJECT_EXEC);
}

/* The node of an executable graph that was made of the given one. */
static struct node *exec_node(struct exec *e, CUgraphNode node)
{
    LIST_EACH(it, &e->graph->nodes)
    {
        struct node *n = CONTAINER(it, struct node, of_graph);
        if (n->origin == HANDLE(node))
            return n;
    }
    return NULL;
}

/* ---- capture --------------------------------------------------------------------------------- */

static bool set_deps(struct stream *s, struct node **deps, size_t count)
{
    struct node **copy = malloc((count + 1) * sizeof(struct node *));

    if (!copy)
        return false;
    if (count)
        memcpy(copy, deps, count * sizeof(struct node *));
    free(s->capture_deps);
    s->capture_deps = copy;
    s->capture_dep_count = count;
    return true;
}

static void leave_capture(struct stream *s)
{
    free(s->capture_deps);
    s->capture_deps = NULL;
    s->capture_dep_count = 0;
    s->capture = NULL;
}

/* Ends a capture without looking at what it made. */
static void capture_free(struct capture *c)
{
    LIST_EACH(it, &drv.contexts)
    {
        struct context *ctx = CONTAINER(it, struct context, all);
        LIST_EACH(at, &ctx->streams)
        {
            struct stream *s = CONTAINER(at, struct stream, of_context);
            if (s->capture == c)
                leave_capture(s);
        }
        LIST_EACH(at, &ctx->events)
        {
            struct event *e = CONTAINER(at, struct event, of_context);
            if (e->capture == c) {
                free(e->capture_deps);
                e->capture_deps = NULL;
                e->capture_dep_count = 0;
                e->capture = NULL;
            }
        }
    }
    free(c->shown);
    free(c);
}

static struct node *capture_node(struct stream *s, CUgraphNodeType type, struct op *op,
                                 struct graph *child)
{
    struct capture *c = s->capture;
    struct node *n = node_new(c->graph, type, op, child);

    if (n) {
        for (size_t i = 0; i < s->capture_dep_count; i++)
            if (!depend(n, s->capture_deps[i]))
                c->invalid = true;
        if (!set_deps(s, &n, 1))
            c->invalid = true;
    } else {
        c->invalid = true;
    }
    return n;
}

void capture_op(struct stream *s, struct op *op)
{
    CUgraphNodeType type;

    switch (op->kind) {
    case OP_KERNEL:
        type = CU_GRAPH_NODE_TYPE_KERNEL;
        break;
    case OP_COPY:
        type = CU_GRAPH_NODE_TYPE_MEMCPY;
        break;
    case OP_FILL:
        type = CU_GRAPH_NODE_TYPE_MEMSET;
        break;
    case OP_HOST:
        type = CU_GRAPH_NODE_TYPE_HOST;
        break;
    case OP_WAIT_VALUE:
    case OP_WRITE_VALUE:
        type = CU_GRAPH_NODE_TYPE_BATCH_MEM_OP;
        break;
    default:
        s->capture->invalid = true;
        op_discard(op);
        return;
    }
    capture_node(s, type, op, NULL);
}

CUresult capture_forbids(struct stream *s)
{
    if (!s->capture)
        return CUDA_SUCCESS;
    s->capture->invalid = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

void capture_stream_destroyed(struct stream *s)
{
    struct capture *c = s->capture;

    if (!c)
        return;
    leave_capture(s);
    if (c->origin == s) {
        struct graph *g = c->graph;
        capture_free(c);
        graph_free(g);
    } else {
        c->invalid = true;
    }
}

CUresult capture_record(struct stream *s, struct event *e, unsigned flags)
{
    struct node **deps;

    if (flags & CU_EVENT_RECORD_EXTERNAL) {
        struct node *n = capture_node(s, CU_GRAPH_NODE_TYPE_EVENT_RECORD, NULL, NULL);
        if (n)
            n->event = e->handle;
        return n ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
    }
    deps = malloc((s->capture_dep_count + 1) * sizeof(struct node *));
    if (!deps)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (s->capture_dep_count)
        memcpy(deps, s->capture_deps, s->capture_dep_count * sizeof(struct node *));
    free(e->capture_deps);
    e->captured = true;
    e->capture = s->capture;
    e->capture_deps = deps;
    e->capture_dep_count = s->capture_dep_count;
    return CUDA_SUCCESS;
}

void capture_event_over(struct event *e)
{
    free(e->capture_deps);
    e->capture_deps = NULL;
    e->capture = NULL;
    e->captured = false;
}

/* A wait in which a capturing stream, or an event of a capture, takes part. */
CUresult capture_wait(struct stream *s, struct event *e, unsigned flags)
{
    if (flags & CU_EVENT_WAIT_EXTERNAL) {
        struct node *n = capture_node(s, CU_GRAPH_NODE_TYPE_WAIT_EVENT, NULL, NULL);
        if (n)
            n->event = e->handle;
        return n ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (!e->capture) {
        s->capture->invalid = true;
        return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
    }
    if (s->legacy)
        return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    if (s->capture && s->capture != e->capture) {
        s->capture->invalid = e->capture->invalid = true;
        return CUDA_ERROR_STREAM_CAPTURE_MERGE;
    }
    if (!s->capture) {
        if (!set_deps(s, e->capture_deps, e->capture_dep_count))
            return CUDA_ERROR_OUT_OF_MEMORY;
        s->capture = e->capture;
        return CUDA_SUCCESS;
    }
    size_t count = s->capture_dep_count + e->capture_dep_count;
    struct node **deps = malloc((count + 1) * sizeof(struct node *));
    if (!deps)
        return CUDA_ERROR_OUT_OF_MEMORY;
    count = 0;
    for (size_t i = 0; i < s->capture_dep_count; i++)
        deps[count++] = s->capture_deps[i];
    for (size_t i = 0; i < e->capture_dep_count; i++) {
        bool there = false;
        for (size_t k = 0; k < count; k++)
            there |= deps[k] == e->capture_deps[i];
        if (!there)
            deps[count++] = e->capture_deps[i];
    }
    bool set = set_deps(s, deps, count);
    free(deps);
    return set ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult enter_stream(CUstream handle, struct stream **s)
{
    struct context *ctx;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    *s = stream_get(ctx, handle);
    return *s ? CUDA_SUCCESS : leave(CUDA_ERROR_INVALID_HANDLE);
}

CUresult cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode)
{
    struct capture *c;
    struct stream *s;
    CUresult r;

    if ((unsigned)mode > CU_STREAM_CAPTURE_MODE_RELAXED)
        return CUDA_ERROR_INVALID_VALUE;
    r = enter_stream(stream, &s);
    if (r)
        return r;
    if (s->legacy)
        return leave(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    if (s->capture)
        return leave(CUDA_ERROR_ILLEGAL_STATE);
    c = calloc(1, sizeof(*c));
    if (c)
        c->graph = graph_new();
    if (!c || !c->graph) {
        free(c);
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    }
    c->graph->handle = handle_new(OBJECT_GRAPH, c->graph);
    if (!c->graph->handle) {
        graph_free(c->graph);
        free(c);
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    }
    c->origin = s;
    c->id = ++last_capture;
    s->capture = c;
    return leave(CUDA_SUCCESS);
}

EXTRA(cuStreamBeginCapture, (CUstream stream))
{
    return cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL);
}

/* Whether some node is not followed by what the stream would do next. */
static bool unjoined(const struct stream *s)
{
    const struct graph *g = s->capture->graph;

    LIST_EACH(it, &g->nodes)
    {
        struct node *n = CONTAINER(it, struct node, of_graph);
        bool leaf = true, joined = false;
        LIST_EACH(other, &g->nodes)
        {
            if (depends(CONTAINER(other, struct node, of_graph), n))
                leaf = false;
        }
        for (size_t i = 0; i < s->capture_dep_count; i++)
            joined |= s->capture_deps[i] == n;
        if (leaf && !joined)
            return true;
    }
    return false;
}

CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph)
{
    struct capture *c;
    struct graph *g;
    struct stream *s;
    CUresult r = enter_stream(stream, &s);

    if (r)
        return r;
    if (!graph)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *graph = NULL;
    c = s->capture;
    if (!c)
        return leave(CUDA_ERROR_ILLEGAL_STATE);
    if (c->origin != s)
        return leave(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
    g = c->graph;
    r = c->invalid    ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
        : unjoined(s) ? CUDA_ERROR_STREAM_CAPTURE_UNJOINED
                      : CUDA_SUCCESS;
    capture_free(c);
    if (r)
        graph_free(g);
    else
        *graph = AS_HANDLE(CUgraph, g->handle);
    return leave(r);
}

static CUstreamCaptureStatus status_of(const struct stream *s)
{
    return !s->capture           ? CU_STREAM_CAPTURE_STATUS_NONE
           : s->capture->invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                 : CU_STREAM_CAPTURE_STATUS_ACTIVE;
}

CUresult cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus *status)
{
    struct stream *s;
    CUresult r = enter_stream(stream, &s);

    if (r)
        return r;
    if (!status)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *status = status_of(s);
    return leave(CUDA_SUCCESS);
}

/* With no capture the manual defines only the status; the other outputs stay as they are. */
CUresult cuStreamGetCaptureInfo_v3(CUstream stream, CUstreamCaptureStatus *status, cuuint64_t *id,
                                   CUgraph *graph, const CUgraphNode **dependencies,
                                   const CUgraphEdgeData **edges, size_t *count)
{
    struct capture *c;
    struct stream *s;
    CUgraphNode *shown;
    CUresult r = enter_stream(stream, &s);

    if (r)
        return r;
    if (!status)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *status = status_of(s);
    if (*status != CU_STREAM_CAPTURE_STATUS_ACTIVE)
        return leave(CUDA_SUCCESS);
    c = s->capture;
    shown = calloc(s->capture_dep_count + 1, sizeof(CUgraphNode));
    if (!shown)
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    for (size_t i = 0; i < s->capture_dep_count; i++)
        shown[i] = AS_HANDLE(CUgraphNode, s->capture_deps[i]->handle);
    free(c->shown);
    c->shown = shown;
    if (id)
        *id = c->id;
    if (graph)
        *graph = AS_HANDLE(CUgraph, c->graph->handle);
    if (dependencies)
        *dependencies = shown;
    if (edges)
        *edges = NULL; /* all ordinary */
    if (count)
        *count = s->capture_dep_count;
    return leave(CUDA_SUCCESS);
}

CUresult cuStreamGetCaptureInfo_v2(CUstream stream, CUstreamCaptureStatus *status, cuuint64_t *id,
                                   CUgraph *graph, const CUgraphNode **dependencies, size_t *count)
{
    return cuStreamGetCaptureInfo_v3(stream, status, id, graph, dependencies, NULL, count);
}

EXTRA(cuStreamGetCaptureInfo, (CUstream stream, CUstreamCaptureStatus *status, cuuint64_t *id))
{
    return cuStreamGetCaptureInfo_v3(stream, status, id, NULL, NULL, NULL, NULL);
}

/* Looks up nodes of one graph. */
static CUresult nodes_of(struct graph *g, const CUgraphNode *handles, size_t count,
                         struct node ***out)
{
    struct node **nodes = calloc(count + 1, sizeof(struct node *));

    if (!nodes)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; i < count; i++) {
        nodes[i] = node_get(handles[i]);
        if (!nodes[i] || nodes[i]->graph != g) {
            free(nodes);
            return CUDA_ERROR_INVALID_VALUE;
        }
    }
    *out = nodes;
    return CUDA_SUCCESS;
}

CUresult cuStreamUpdateCaptureDependencies(CUstream stream, CUgraphNode *dependencies, size_t count,
                                           unsigned int flags)
{
    struct node **nodes = NULL;
    struct stream *s;
    CUresult r;

    if ((count && !dependencies) || flags > CU_STREAM_SET_CAPTURE_DEPENDENCIES)
        return CUDA_ERROR_INVALID_VALUE;
    r = enter_stream(stream, &s);
    if (r)
        return r;
    if (!s->capture)
        return leave(CUDA_ERROR_ILLEGAL_STATE);
    r = nodes_of(s->capture->graph, dependencies, count, &nodes);
    if (r)
        return leave(r);
    if (flags == CU_STREAM_ADD_CAPTURE_DEPENDENCIES) {
        size_t have = s->capture_dep_count;
        struct node **more = realloc(nodes, (count + have + 1) * sizeof(struct node *));
        if (!more) {
            free(nodes);
            return leave(CUDA_ERROR_OUT_OF_MEMORY);
        }
        nodes = more;
        if (have)
            memcpy(nodes + count, s->capture_deps, have * sizeof(struct node *));
        count += have;
    }
    r = set_deps(s, nodes, count) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
    free(nodes);
    return leave(r);
}

/* ---- graphs ---------------------------------------------------------------------------------- */

CUresult cuGraphCreate(CUgraph *graph, unsigned int flags)
{
    struct graph *g;
    CUresult r = enter_healthy();

    if (r)
        return r;
    if (!graph || flags)
        return leave(CUDA_ERROR_INVALID_VALUE);
    g = graph_new();
    if (g)
        g->handle = handle_new(OBJECT_GRAPH, g);
    if (!g || !g->handle) {
        free(g);
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    }
    *graph = AS_HANDLE(CUgraph, g->handle);
    return leave(CUDA_SUCCESS);
}

CUresult cuGraphClone(CUgraph *clone, CUgraph original)
{
    struct graph *from, *g;
    bool circle = false;
    CUresult r = enter_healthy();

    if (r)
        return r;
    from = graph_get(original);
    if (!clone || !from)
        return leave(CUDA_ERROR_INVALID_VALUE);
    g = graph_copy(from, 0, &circle);
    if (!g)
        return leave(circle ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_OUT_OF_MEMORY);
    g->handle = handle_new(OBJECT_GRAPH, g);
    if (!g->handle) {
        graph_free(g);
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    }
    *clone = AS_HANDLE(CUgraph, g->handle);
    return leave(CUDA_SUCCESS);
}

CUresult cuGraphDestroy(CUgraph graph)
{
    struct graph *g;
    CUresult r = enter();

    if (r)
        return r;
    g = graph_get(graph);
    if (!g)
        return leave(CUDA_ERROR_INVALID_VALUE);
    graph_free(g);
    return leave(CUDA_SUCCESS);
}

static CUresult list_nodes(CUgraph graph, CUgraphNode *nodes, size_t *count, bool roots)
{
    size_t found = 0;
    struct graph *g;
    CUresult r = enter_healthy();

    if (r)
        return r;
    g = graph_get(graph);
    if (!g || !count)
        return leave(CUDA_ERROR_INVALID_VALUE);
    LIST_EACH(it, &g->nodes)
    {
        struct node *n = CONTAINER(it, struct node, of_graph);
        if (roots && n->dep_count)
            continue;
        if (nodes && found < *count)
            nodes[found] = AS_HANDLE(CUgraphNode, n->handle);
        found++;
    }
    if (!nodes || found < *count) {
        for (size_t i = found; nodes && i < *count; i++)
            nodes[i] = NULL;
        *count = found;
    }
    return leave(CUDA_SUCCESS);
}

CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode *nodes, size_t *count)
{
    return list_nodes(graph, nodes, count, false);
}

CUresult cuGraphGetRootNodes(CUgraph graph, CUgraphNode *nodes, size_t *count)
{
    return list_nodes(graph, nodes, count, true);
}

CUresult cuGraphNodeGetType(CUgraphNode node, CUgraphNodeType *type)
{
    struct node *n;
    CUresult r = enter_healthy();

    if (r)
        return r;
    n = node_get(node);
    if (!n || !type)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *type = n->type;
    return leave(CUDA_SUCCESS);
}

CUresult cuGraphGetEdges(CUgraph graph, CUgraphNode *from, CUgraphNode *to, size_t *count)
{
    size_t found = 0;
    struct graph *g;
    CUresult r = enter_healthy();

    if (r)
        return r;
    g = graph_get(graph);
    if (!g || !count || !from != !to)
        return leave(CUDA_ERROR_INVALID_VALUE);
    LIST_EACH(it, &g->nodes)
    {
        struct node *n = CONTAINER(it, struct node, of_graph);
        for (size_t i = 0; i < n->dep_count; i++, found++) {
            if (from && found < *count) {
                from[found] = AS_HANDLE(CUgraphNode, n->deps[i]->handle);
                to[found] = AS_HANDLE(CUgraphNode, n->handle);
            }
        }
    }
    if (!from || found < *count)
        *count = found;
    return leave(CUDA_SUCCESS);
}

static CUresult change_edges(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                             size_t count, bool remove)
{
    struct node **a = NULL, **b = NULL;
    struct graph *g;
    CUresult r = enter_healthy();

    if (r)
        return r;
    g = graph_get(graph);
    if (!g || (count && (!from || !to)))
        return leave(CUDA_ERROR_INVALID_VALUE);
    r = nodes_of(g, from, count, &a);
    if (!r)
        r = nodes_of(g, to, count, &b);
    for (size_t i = 0; i < count && !r; i++) {
        if (depends(b[i], a[i]) != remove || a[i] == b[i]) {
            r = CUDA_ERROR_INVALID_VALUE;
        } else if (!remove) {
            r = depend(b[i], a[i]) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
        } else {
            for (size_t k = 0; k < b[i]->dep_count; k++)
                if (b[i]->deps[k] == a[i]) {
                    b[i]->deps[k] = b[i]->deps[--b[i]->dep_count];
                    break;
                }
        }
    }
    free(a);
    free(b);
    return leave(r);
}

CUresult cuGraphAddDependencies(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                size_t count)
{
    return change_edges(graph, from, to, count, false);
}

CUresult cuGraphRemoveDependencies(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                   size_t count)
{
    return change_edges(graph, from, to, count, true);
}

CUresult cuGraphDestroyNode(CUgraphNode node)
{
    struct node *n;
    CUresult r = enter_healthy();

    if (r)
        return r;
    n = node_get(node);
    if (!n || !n->graph->handle)
        return leave(CUDA_ERROR_INVALID_VALUE);
    LIST_EACH(it, &n->graph->nodes)
    {
        struct node *other = CONTAINER(it, struct node, of_graph);
        for (size_t k = 0; k < other->dep_count; k++)
            if (other->deps[k] == n)
                other->deps[k--] = other->deps[--other->dep_count];
    }
    /* A stream or event of a capture may stand behind it. */
    LIST_EACH(it, &drv.contexts)
    {
        struct context *ctx = CONTAINER(it, struct context, all);
        LIST_EACH(at, &ctx->streams)
        {
            struct stream *s = CONTAINER(at, struct stream, of_context);
            if (s->capture && s->capture->graph == n->graph)
                return leave(CUDA_ERROR_INVALID_VALUE);
        }
    }
    n->graph->node_count--;
    node_free(n);
    return leave(CUDA_SUCCESS);
}

CUresult cuGraphNodeFindInClone(CUgraphNode *node, CUgraphNode original, CUgraph clone)
{
    struct graph *g;
    CUresult r = enter_healthy();

    if (r)
        return r;
    g = graph_get(clone);
    if (!node || !g || !node_get(original))
        return leave(CUDA_ERROR_INVALID_VALUE);
    LIST_EACH(it, &g->nodes)
    {
        struct node *n = CONTAINER(it, struct node, of_graph);
        if (n->origin == HANDLE(original)) {
            *node = AS_HANDLE(CUgraphNode, n->handle);
            return leave(CUDA_SUCCESS);
        }
    }
    return leave(CUDA_ERROR_INVALID_VALUE);
}

/* ---- nodes by hand --------------------------------------------------------------------------- */

/* A stream whose work becomes nodes of g behind deps. Only for builder_end. */
static CUresult builder_begin(CUgraph graph, const CUgraphNode *deps, size_t count, CUstream *out)
{
    struct capture *c;
    struct node **nodes = NULL;
    struct stream *s;
    struct graph *g;
    CUresult r;

    if (count && !deps)
        return CUDA_ERROR_INVALID_VALUE;
    r = cuStreamCreate(out, CU_STREAM_NON_BLOCKING);
    if (r)
        return r;
    r = enter_stream(*out, &s);
    if (r)
        return r;
    g = graph ? graph_get(graph) : graph_new(); /* without one: for a single op */
    c = g ? calloc(1, sizeof(*c)) : NULL;
    r = !g  ? CUDA_ERROR_INVALID_VALUE
        : c ? nodes_of(g, deps, count, &nodes)
            : CUDA_ERROR_OUT_OF_MEMORY;
    if (!r && !set_deps(s, nodes, count))
        r = CUDA_ERROR_OUT_OF_MEMORY;
    free(nodes);
    if (r) {
        if (g && !graph)
            graph_free(g);
        free(c);
        leave(r);
        cuStreamDestroy_v2(*out);
        return r;
    }
    c->graph = g;
    c->origin = s;
    c->builder = true;
    s->capture = c;
    return leave(CUDA_SUCCESS);
}

/* r: what the captured call said. On success *node is what it made. */
static CUresult builder_end(CUstream stream, CUgraph graph, CUresult r, CUgraphNode *node,
                            struct op **op)
{
    struct capture *c;
    struct stream *s;
    struct node *made;
    CUresult entered = enter_stream(stream, &s);

    if (entered)
        return entered;
    c = s->capture;
    made = s->capture_dep_count == 1 ? s->capture_deps[0] : NULL;
    if (!r && (c->invalid || !made))
        r = CUDA_ERROR_INVALID_VALUE;
    if (!r && node)
        *node = AS_HANDLE(CUgraphNode, made->handle);
    if (!r && op) {
        *op = made->op;
        made->op = NULL;
    }
    if (!graph)
        graph_free(c->graph);
    leave_capture(s);
    free(c->shown);
    free(c);
    leave(r);
    cuStreamDestroy_v2(stream);
    return r;
}

/* Gives a node another op of the same kind. */
static CUresult exchange(CUgraphExec exec, CUgraphNode node, struct op *op)
{
    struct node *n;
    CUresult r = enter_healthy();

    if (r) {
        return r;
    }
    if (exec)
        n = exec_get(exec) ? exec_node(exec_get(exec), node) : NULL;
    else
        n = node_get(node);
    if (!n || !n->op || n->op->kind != op->kind) {
        op_discard(op);
        return leave(CUDA_ERROR_INVALID_VALUE);
    }
    op_discard(n->op);
    n->op = op;
    return leave(CUDA_SUCCESS);
}

#define ADD_NODE(call)                                                                             \
    do {                                                                                           \
        CUstream stream;                                                                           \
        CUresult begun = node && graph ? builder_begin(graph, dependencies, count, &stream)        \
                                       : CUDA_ERROR_INVALID_VALUE;                                 \
        return begun ? begun : builder_end(stream, graph, call, node, NULL);                       \
    } while (0)

#define SET_NODE(exec, call)                                                                       \
    do {                                                                                           \
        CUstream stream;                                                                           \
        struct op *op = NULL;                                                                      \
        CUresult begun = builder_begin(NULL, NULL, 0, &stream);                                    \
        if (!begun)                                                                                \
            begun = builder_end(stream, NULL, call, NULL, &op);                                    \
        return begun ? begun : exchange(exec, node, op);                                           \
    } while (0)

static CUresult launch_params(const CUDA_KERNEL_NODE_PARAMS_v2 *p, CUstream stream)
{
    return cuLaunchKernel(p->func ? p->func : (CUfunction)p->kern, p->gridDimX, p->gridDimY,
                          p->gridDimZ, p->blockDimX, p->blockDimY, p->blockDimZ, p->sharedMemBytes,
                          stream, p->kernelParams, p->extra);
}

CUresult cuGraphAddKernelNode_v2(CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies,
                                 size_t count, const CUDA_KERNEL_NODE_PARAMS_v2 *params)
{
    if (!params)
        return CUDA_ERROR_INVALID_VALUE;
    ADD_NODE(launch_params(params, stream));
}

CUresult cuGraphKernelNodeSetParams_v2(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS_v2 *params)
{
    if (!params)
        return CUDA_ERROR_INVALID_VALUE;
    SET_NODE(NULL, launch_params(params, stream));
}

CUresult cuGraphExecKernelNodeSetParams_v2(CUgraphExec exec, CUgraphNode node,
                                           const CUDA_KERNEL_NODE_PARAMS_v2 *params)
{
    if (!params || !exec)
        return CUDA_ERROR_INVALID_VALUE;
    SET_NODE(exec, launch_params(params, stream));
}

CUresult cuGraphAddMemcpyNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies,
                              size_t count, const CUDA_MEMCPY3D *params, CUcontext ctx)
{
    (void)ctx;
    ADD_NODE(cuMemcpy3DAsync_v2(params, stream));
}

CUresult cuGraphMemcpyNodeSetParams(CUgraphNode node, const CUDA_MEMCPY3D *params)
{
    SET_NODE(NULL, cuMemcpy3DAsync_v2(params, stream));
}

CUresult cuGraphExecMemcpyNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                        const CUDA_MEMCPY3D *params, CUcontext ctx)
{
    (void)ctx;
    if (!exec)
        return CUDA_ERROR_INVALID_VALUE;
    SET_NODE(exec, cuMemcpy3DAsync_v2(params, stream));
}

static CUresult fill_params(const CUDA_MEMSET_NODE_PARAMS *p, CUstream stream)
{
    switch (p ? p->elementSize : 0) {
    case 1:
        return cuMemsetD2D8Async(p->dst, p->pitch, (unsigned char)p->value, p->width, p->height,
                                 stream);
    case 2:
        return cuMemsetD2D16Async(p->dst, p->pitch, (unsigned short)p->value, p->width, p->height,
                                  stream);
    case 4:
        return cuMemsetD2D32Async(p->dst, p->pitch, p->value, p->width, p->height, stream);
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult cuGraphAddMemsetNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies,
                              size_t count, const CUDA_MEMSET_NODE_PARAMS *params, CUcontext ctx)
{
    (void)ctx;
    ADD_NODE(fill_params(params, stream));
}

CUresult cuGraphMemsetNodeSetParams(CUgraphNode node, const CUDA_MEMSET_NODE_PARAMS *params)
{
    SET_NODE(NULL, fill_params(params, stream));
}

CUresult cuGraphExecMemsetNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                        const CUDA_MEMSET_NODE_PARAMS *params, CUcontext ctx)
{
    (void)ctx;
    if (!exec)
        return CUDA_ERROR_INVALID_VALUE;
    SET_NODE(exec, fill_params(params, stream));
}

/* Nodes without an op. */
static CUresult add_plain(CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies,
                          size_t count, CUgraphNodeType type, CUgraph child, CUevent event)
{
    struct node **deps = NULL, *n;
    struct graph *g, *inner = NULL;
    bool circle = false;
    CUresult r = enter_healthy();

    if (r)
        return r;
    g = graph_get(graph);
    if (!node || !g || (count && !dependencies) ||
        (type == CU_GRAPH_NODE_TYPE_GRAPH && (!graph_get(child) || child == graph)) ||
        ((type == CU_GRAPH_NODE_TYPE_EVENT_RECORD || type == CU_GRAPH_NODE_TYPE_WAIT_EVENT) &&
         !handle_get(HANDLE(event), OBJECT_EVENT)))
        return leave(CUDA_ERROR_INVALID_VALUE);
    r = nodes_of(g, dependencies, count, &deps);
    if (r)
        return leave(r);
    if (type == CU_GRAPH_NODE_TYPE_GRAPH) {
        inner = graph_copy(graph_get(child), 1, &circle);
        if (!inner) {
            free(deps);
            return leave(circle ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_OUT_OF_MEMORY);
        }
    }
    n = node_new(g, type, NULL, inner);
    if (n) {
        n->event = HANDLE(event);
        n->deps = deps;
        n->dep_count = count;
        *node = AS_HANDLE(CUgraphNode, n->handle);
    } else {
        free(deps);
    }
    return leave(n ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY);
}

CUresult cuGraphAddEmptyNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies,
                             size_t count)
{
    return add_plain(node, graph, dependencies, count, CU_GRAPH_NODE_TYPE_EMPTY, NULL, NULL);
}

CUresult cuGraphAddChildGraphNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies,
                                  size_t count, CUgraph child)
{
    return add_plain(node, graph, dependencies, count, CU_GRAPH_NODE_TYPE_GRAPH, child, NULL);
}

CUresult cuGraphAddEventRecordNode(CUgraphNode *node, CUgraph graph,
                                   const CUgraphNode *dependencies, size_t count, CUevent event)
{
    return add_plain(node, graph, dependencies, count, CU_GRAPH_NODE_TYPE_EVENT_RECORD, NULL,
                     event);
}

CUresult cuGraphAddEventWaitNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies,
                                 size_t count, CUevent event)
{
    return add_plain(node, graph, dependencies, count, CU_GRAPH_NODE_TYPE_WAIT_EVENT, NULL, event);
}

CUresult cuGraphExecChildGraphNodeSetParams(CUgraphExec exec, CUgraphNode node, CUgraph child)
{
    struct graph *copy;
    struct node *n;
    bool circle = false;
    CUresult r = enter_healthy();

    if (r)
        return r;
    n = exec_get(exec) ? exec_node(exec_get(exec), node) : NULL;
    if (!n || !n->child || !graph_get(child) ||
        graph_get(child)->node_count != n->child->node_count)
        return leave(CUDA_ERROR_INVALID_VALUE);
    copy = graph_copy(graph_get(child), 1, &circle);
    if (!copy)
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    graph_free(n->child);
    n->child = copy;
    return leave(CUDA_SUCCESS);
}

static CUresult exec_event(CUgraphExec exec, CUgraphNode node, CUevent event, CUgraphNodeType type)
{
    struct node *n;
    CUresult r = enter_healthy();

    if (r)
        return r;
    n = exec_get(exec) ? exec_node(exec_get(exec), node) : NULL;
    if (!n || n->type != type || !handle_get(HANDLE(event), OBJECT_EVENT))
        return leave(CUDA_ERROR_INVALID_VALUE);
    n->event = HANDLE(event);
    return leave(CUDA_SUCCESS);
}

CUresult cuGraphExecEventRecordNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent event)
{
    return exec_event(exec, node, event, CU_GRAPH_NODE_TYPE_EVENT_RECORD);
}

CUresult cuGraphExecEventWaitNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent event)
{
    return exec_event(exec, node, event, CU_GRAPH_NODE_TYPE_WAIT_EVENT);
}

CUresult cuGraphNodeSetEnabled(CUgraphExec exec, CUgraphNode node, unsigned int enabled)
{
    struct node *n;
    CUresult r = enter_healthy();

    if (r)
        return r;
    n = exec_get(exec) ? exec_node(exec_get(exec), node) : NULL;
    if (!n || !n->op)
        return leave(CUDA_ERROR_INVALID_VALUE);
    n->enabled = enabled != 0;
    return leave(CUDA_SUCCESS);
}

CUresult cuGraphNodeGetEnabled(CUgraphExec exec, CUgraphNode node, unsigned int *enabled)
{
    struct node *n;
    CUresult r = enter_healthy();

    if (r)
        return r;
    n = exec_get(exec) ? exec_node(exec_get(exec), node) : NULL;
    if (!n || !n->op || !enabled)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *enabled = n->enabled;
    return leave(CUDA_SUCCESS);
}

/* ---- executable graphs ----------------------------------------------------------------------- */

CUresult cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph, unsigned long long flags)
{
    const unsigned long long known = CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH |
                                     CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY;
    bool circle = false;
    struct exec *e;
    CUresult r = enter_healthy();

    if (r)
        return r;
    if (!exec || !graph_get(graph) || flags & ~known)
        return leave(CUDA_ERROR_INVALID_VALUE);
    e = calloc(1, sizeof(*e));
    if (e)
        e->graph = graph_copy(graph_get(graph), 0, &circle);
    if (e && e->graph)
        e->handle = handle_new(OBJECT_EXEC, e);
    if (!e || !e->handle) {
        if (e && e->graph)
            graph_free(e->graph);
        free(e);
        return leave(circle ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_OUT_OF_MEMORY);
    }
    e->flags = flags;
    *exec = AS_HANDLE(CUgraphExec, e->handle);
    return leave(CUDA_SUCCESS);
}

CUresult cuGraphExecGetFlags(CUgraphExec exec, cuuint64_t *flags)
{
    CUresult r = enter_healthy();

    if (r)
        return r;
    if (!exec_get(exec) || !flags)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *flags = exec_get(exec)->flags;
    return leave(CUDA_SUCCESS);
}

CUresult cuGraphExecDestroy(CUgraphExec exec)
{
    struct exec *e;
    CUresult r = enter();

    if (r)
        return r;
    e = exec_get(exec);
    if (!e)
        return leave(CUDA_ERROR_INVALID_VALUE);
    handle_free(e->handle);
    graph_free(e->graph);
    free(e);
    return leave(CUDA_SUCCESS);
}

/* Counts, or queues, what a launch consists of. False: no memory. */
static bool queue(struct stream *s, struct graph *g)
{
    LIST_EACH(it, &g->nodes)
    {
        struct node *n = CONTAINER(it, struct node, of_graph);
        struct event *e;
        struct op *op;

        if (n->child && !queue(s, n->child))
            return false;
        if (n->op && n->enabled) {
            op = op_copy(n->op);
            if (!op)
                return false;
            op_submit(s, op);
        }
        if (!n->event)
            continue;
        e = handle_get(n->event, OBJECT_EVENT);
        if (!e || (n->type == CU_GRAPH_NODE_TYPE_WAIT_EVENT && (!e->marker || e->marker->done)))
            continue;
        op = op_new(n->type == CU_GRAPH_NODE_TYPE_WAIT_EVENT ? OP_WAIT_EVENT : OP_RECORD);
        if (!op)
            return false;
        if (n->type == CU_GRAPH_NODE_TYPE_EVENT_RECORD) {
            struct marker *m = marker_new();
            if (!m) {
                op->marker = NULL;
                op_discard(op);
                return false;
            }
            marker_drop(e->marker);
            e->marker = m;
        }
        op->marker = e->marker;
        op->marker->refs++;
        op_submit(s, op);
    }
    return true;
}

CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream)
{
    struct context *ctx;
    struct stream *s;
    struct exec *e;
    CUresult r = enter_context(&ctx);

    if (r)
        return r;
    r = stream_for_work(ctx, stream, &s);
    if (r)
        return leave(r);
    e = exec_get(exec);
    if (!e)
        return leave(CUDA_ERROR_INVALID_VALUE);
    if (!pool_start_kernels() || !pool_start_copies() || !pool_start_host())
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    if (s->capture) {
        bool circle = false;
        struct graph *child = graph_copy(e->graph, 1, &circle);
        if (!child || !capture_node(s, CU_GRAPH_NODE_TYPE_GRAPH, NULL, child))
            return leave(CUDA_ERROR_OUT_OF_MEMORY);
        return leave(CUDA_SUCCESS);
    }
    return leave(queue(s, e->graph) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY);
}

/* Everything is where it is needed. */
CUresult cuGraphUpload(CUgraphExec exec, CUstream stream)
{
    struct stream *s;
    CUresult r = enter_stream(stream, &s);

    if (r)
        return r;
    return leave(exec_get(exec) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE);
}

CUresult cuGraphExecUpdate_v2(CUgraphExec exec, CUgraph graph, CUgraphExecUpdateResultInfo *info)
{
    struct link *a, *b;
    struct graph *copy, *g;
    struct exec *e;
    bool circle = false;
    CUresult r = enter_healthy();

    if (r)
        return r;
    e = exec_get(exec);
    g = graph_get(graph);
    if (!e || !g || !info)
        return leave(CUDA_ERROR_INVALID_VALUE);
    *info = (CUgraphExecUpdateResultInfo){.result = CU_GRAPH_EXEC_UPDATE_SUCCESS};
    copy = graph_copy(g, 0, &circle);
    if (!copy)
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    /* Both are in the order of a launch: the same nodes in the same places, or it is refused. */
    if (copy->node_count != e->graph->node_count)
        info->result = CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
    for (a = e->graph->nodes.next, b = copy->nodes.next; !info->result && a != &e->graph->nodes;
         a = a->next, b = b->next) {
        struct node *old = CONTAINER(a, struct node, of_graph);
        struct node *now = CONTAINER(b, struct node, of_graph);
        if (old->type != now->type)
            info->result = CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED;
        else if (old->dep_count != now->dep_count)
            info->result = CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
        if (info->result)
            info->errorNode = AS_HANDLE(CUgraphNode, now->origin);
    }
    if (info->result) {
        graph_free(copy);
        return leave(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
    }
    /* Nodes are still named after the graph that was instantiated. */
    for (a = e->graph->nodes.next, b = copy->nodes.next; a != &e->graph->nodes;
         a = a->next, b = b->next)
        CONTAINER(b, struct node, of_graph)->origin = CONTAINER(a, struct node, of_graph)->origin;
    graph_free(e->graph);
    e->graph = copy;
    return leave(CUDA_SUCCESS);
}

/* ---- user objects ---------------------------------------------------------------------------- */

CUresult cuUserObjectCreate(CUuserObject *object, void *pointer, CUhostFn destroy,
                            unsigned int count, unsigned int flags)
{
    struct user *u;
    CUresult r = enter_healthy();

    if (r)
        return r;
    if (!object || !destroy || !count || flags != CU_USER_OBJECT_NO_DESTRUCTOR_SYNC)
        return leave(CUDA_ERROR_INVALID_VALUE);
    u = calloc(1, sizeof(*u));
    if (u)
        u->handle = handle_new(OBJECT_USER, u);
    if (!u || !u->handle) {
        free(u);
        return leave(CUDA_ERROR_OUT_OF_MEMORY);
    }
    u->refs = count;
    u->destroy = destroy;
    u->data = pointer;
    *object = AS_HANDLE(CUuserObject, u->handle);
    return leave(CUDA_SUCCESS);
}

CUresult cuUserObjectRelease(CUuserObject object, unsigned int count)
{
    struct user *u;
    CUresult r = enter_healthy();

    if (r)
        return r;
    u = handle_get(HANDLE(object), OBJECT_USER);
    if (!u || !count || count > u->refs)
        return leave(CUDA_ERROR_INVALID_VALUE);
    user_drop(u, count);
    return leave(CUDA_SUCCESS);
}

CUresult cuGraphRetainUserObject(CUgraph graph, CUuserObject object, unsigned int count,
                                 unsigned int flags)
{
    struct graph *g;
    struct user *u;
    CUresult r = enter_healthy();

    if (r)
        return r;
    g = graph_get(graph);
    u = handle_get(HANDLE(object), OBJECT_USER);
    if (!g || !u || !count || count > 1024 || flags > CU_GRAPH_USER_OBJECT_MOVE ||
        (flags && count > u->refs))
        return leave(CUDA_ERROR_INVALID_VALUE);
    for (unsigned i = 0; i < count; i++) {
        if (!user_keep(g, u))
            return leave(CUDA_ERROR_OUT_OF_MEMORY);
        if (!flags)
            u->refs++;
    }
    return leave(CUDA_SUCCESS);
}
