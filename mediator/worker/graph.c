/* SPDX-License-Identifier: Apache-2.0 */
/*
 * graph.c - stream capture and graphs
 *
 * The driver captures and keeps the graphs; the worker numbers their nodes, because pointers do not
 * travel. Every capture is relaxed towards the driver: this thread maps memory and asks events for
 * other threads of the guest process while one of them captures. What it may not do is to touch a
 * capturing stream with calls of its own, nor the default stream while a blocking stream captures:
 * marks (waits.c) stand for the work these had in flight.
 */
#include "worker.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define OWNED_MAX (1ull << 30) /* bytes of inline copies in living graphs */
#define EDGES_MAX (32768u / sizeof(struct vgpu_graph_edge))

/* Calls that drivers before CUDA 12.3 or so lack. */
#define NEED(worker, call)                                                                         \
    do {                                                                                           \
        if (!(worker)->driver->call)                                                               \
            return CUDA_ERROR_NOT_SUPPORTED;                                                       \
    } while (0)

struct worker_graph {
    CUgraph graph;
    CUgraphNode *nodes; /* by number; NULL: destroyed */
    uint32_t count, room;
    uint32_t *places; /* hash table of numbers + 1 */
    uint32_t place_count;
    bool capturing; /* the driver is adding to it, and destroys it if that fails */
};

/* ---- numbers of nodes ---- */

static uint32_t *place_of(const struct worker_graph *graph, CUgraphNode node)
{
    uint64_t hash = (uint64_t)(uintptr_t)node * 0x9e3779b97f4a7c15ull;
    uint32_t mask = graph->place_count - 1, at = (uint32_t)(hash >> 32) & mask;

    while (graph->places[at] && graph->nodes[graph->places[at] - 1] != node)
        at = (at + 1) & mask;
    return &graph->places[at];
}

static bool rehash(struct worker_graph *graph, uint32_t place_count)
{
    uint32_t *places = calloc(place_count, sizeof(*places));

    if (!places)
        return false;
    free(graph->places);
    graph->places = places;
    graph->place_count = place_count;
    for (uint32_t i = 0; i < graph->count; i++) {
        if (graph->nodes[i])
            *place_of(graph, graph->nodes[i]) = i + 1;
    }
    return true;
}

/* A node's number; VGPU_NODE_NONE: out of memory, or no node. */
static uint32_t number_of(struct worker_graph *graph, CUgraphNode node)
{
    if (!node)
        return VGPU_NODE_NONE;
    if (graph->count == graph->room) {
        uint32_t room = graph->room ? 2 * graph->room : 64;
        CUgraphNode *more = realloc(graph->nodes, room * sizeof(*more));
        if (!more)
            return VGPU_NODE_NONE;
        graph->nodes = more;
        graph->room = room;
    }
    if (graph->place_count < 2 * (graph->count + 1) &&
        !rehash(graph, graph->place_count ? 2 * graph->place_count : 128))
        return VGPU_NODE_NONE;
    uint32_t *place = place_of(graph, node);
    if (!*place) {
        graph->nodes[graph->count] = node;
        *place = ++graph->count;
    }
    return *place - 1;
}

static CUgraphNode node_of(const struct worker_graph *graph, uint32_t number)
{
    return number < graph->count ? graph->nodes[number] : NULL;
}

static CUresult adopt(struct vgpu_worker *worker, uint32_t handle, CUgraph driver_graph)
{
    struct worker_graph *graph = calloc(1, sizeof(*graph));

    if (!graph)
        return CUDA_ERROR_OUT_OF_MEMORY;
    graph->graph = driver_graph;
    worker_insert(worker, VGPU_TYPE_GRAPH, handle, graph);
    return CUDA_SUCCESS;
}

void worker_graph_forget(struct worker_graph *graph)
{
    free(graph->nodes);
    free(graph->places);
    free(graph);
}

/* ---- edges ---- */

struct edges {
    uint32_t count;
    bool data; /* some edge is not an ordinary one */
    CUgraphNode from[EDGES_MAX], to[EDGES_MAX];
    CUgraphEdgeData edge[EDGES_MAX];
};

/* One worker thread, and too much for its stack. */
static struct edges edges;

/* Decodes edges; only: ends that stand for nothing (dependencies) are not looked at. */
static CUresult read_edges(const struct worker_graph *graph, const uint8_t *bytes, uint32_t size,
                           bool dependencies)
{
    uint32_t count = size / sizeof(struct vgpu_graph_edge);

    edges.count = 0;
    edges.data = false;
    if (size % sizeof(struct vgpu_graph_edge) || count > EDGES_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    for (uint32_t i = 0; i < count; i++) {
        struct vgpu_graph_edge edge;
        static const uint8_t none[8];
        memcpy(&edge, bytes + i * sizeof(edge), sizeof(edge));
        edges.from[i] = node_of(graph, edge.from);
        edges.to[i] = dependencies ? NULL : node_of(graph, edge.to);
        if (!edges.from[i] || (!dependencies && !edges.to[i]))
            return CUDA_ERROR_INVALID_VALUE;
        memcpy(&edges.edge[i], edge.data, sizeof(edge.data));
        if (memcmp(edge.data, none, sizeof(none)) != 0)
            edges.data = true;
    }
    edges.count = count;
    return CUDA_SUCCESS;
}

/* Makes a new node depend on what is in edges, when these say more than which nodes. */
static CUresult link_new(struct vgpu_worker *worker, struct worker_graph *graph, CUgraphNode node)
{
    if (!edges.data)
        return CUDA_SUCCESS;
    NEED(worker, cuGraphAddDependencies_v2);
    for (uint32_t i = 0; i < edges.count; i++)
        edges.to[i] = node;
    return worker->driver->cuGraphAddDependencies_v2(graph->graph, edges.from, edges.to, edges.edge,
                                                     edges.count);
}

static uint32_t plain_count(void)
{
    return edges.data ? 0 : edges.count;
}

/* Ends the making of a node. */
static CUresult made(struct vgpu_worker *worker, struct worker_graph *graph, CUgraphNode node,
                     CUresult result, uint32_t *number)
{
    if (result == CUDA_SUCCESS)
        result = link_new(worker, graph, node);
    if (result != CUDA_SUCCESS) {
        if (node && worker->driver->cuGraphDestroyNode)
            worker->driver->cuGraphDestroyNode(node);
        return result;
    }
    *number = number_of(graph, node);
    return *number == VGPU_NODE_NONE ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
}

static bool put_edge(struct vgpu_answer *answer, struct worker_graph *graph, CUgraphNode from,
                     CUgraphNode to, const CUgraphEdgeData *data)
{
    struct vgpu_graph_edge edge = {.from = number_of(graph, from)};

    if (answer->size + sizeof(edge) > sizeof(answer->payload))
        return false;
    edge.to = to ? number_of(graph, to) : 0;
    if (data)
        memcpy(edge.data, data, sizeof(edge.data));
    memcpy(answer->payload + answer->size, &edge, sizeof(edge));
    answer->size += sizeof(edge);
    return true;
}

/* ---- capture ---- */

/* The stream's work is captured from here on. A capture of a blocking stream makes the default
 * stream unusable. */
static void mark_for_capture(struct vgpu_worker *worker, struct worker_stream *stream)
{
    unsigned flags = 0;

    worker_stream_mark(worker, stream);
    if (!worker->driver->cuStreamGetFlags ||
        worker->driver->cuStreamGetFlags(stream->stream, &flags) != CUDA_SUCCESS ||
        !(flags & CU_STREAM_NON_BLOCKING))
        worker_stream_mark(worker, &stream->context->default_stream);
}

static CUresult capture_info(struct vgpu_worker *worker, CUstream stream,
                             CUstreamCaptureStatus *status, cuuint64_t *id, CUgraph *graph,
                             const CUgraphNode **nodes, const CUgraphEdgeData **data, size_t *count)
{
    const struct vgpu_driver *driver = worker->driver;

    *data = NULL;
    if (driver->cuStreamGetCaptureInfo_v3)
        return driver->cuStreamGetCaptureInfo_v3(stream, status, id, graph, nodes, data, count);
    NEED(worker, cuStreamGetCaptureInfo_v2);
    return driver->cuStreamGetCaptureInfo_v2(stream, status, id, graph, nodes, count);
}

CUresult worker_do_StreamBeginCapture(struct vgpu_worker *worker,
                                      const struct worker_args_StreamBeginCapture *args,
                                      struct vgpu_rsp_StreamBeginCapture *out,
                                      struct vgpu_answer *answer)
{
    struct worker_stream *stream = worker_stream_enter(worker, args->stream_handle);
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    const CUgraphNode *nodes = NULL;
    const CUgraphEdgeData *data = NULL;
    CUgraph graph = NULL;
    cuuint64_t id = 0;
    size_t count = 0;

    NEED(worker, cuStreamBeginCapture_v2);
    NEED(worker, cuStreamEndCapture);
    if (!stream)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (stream->capture)
        return CUDA_ERROR_ILLEGAL_STATE;
    mark_for_capture(worker, stream);
    CUresult result =
        worker->driver->cuStreamBeginCapture_v2(args->stream, CU_STREAM_CAPTURE_MODE_RELAXED);
    if (result != CUDA_SUCCESS)
        return result;
    result = capture_info(worker, args->stream, &status, &id, &graph, &nodes, &data, &count);
    if (result == CUDA_SUCCESS)
        result = graph ? adopt(worker, args->graph, graph) : CUDA_ERROR_NOT_SUPPORTED;
    if (result != CUDA_SUCCESS) {
        CUgraph ended = NULL;
        worker->driver->cuStreamEndCapture(args->stream, &ended);
        if (ended && worker->driver->cuGraphDestroy)
            worker->driver->cuGraphDestroy(ended);
        return result;
    }
    ((struct worker_graph *)worker_object(worker, VGPU_TYPE_GRAPH, args->graph)->object)
        ->capturing = true;
    worker->captures++;
    if (++worker->last_capture == 0)
        worker->last_capture = 1;
    stream->capture = worker->last_capture;
    stream->capture_graph = args->graph;
    out->id = id;
    return CUDA_SUCCESS;
}

/* No stream is part of the capture any more. */
static void capture_over(struct vgpu_worker *worker, uint32_t capture)
{
    for (uint32_t i = 0; i < worker->objects_used; i++) {
        struct worker_object *object = &worker->objects[i];
        struct worker_stream *stream = object->object;
        if (object->handle && object->type == VGPU_TYPE_STREAM && stream->capture == capture)
            stream->capture = stream->capture_graph = 0;
    }
    worker->captures--;
}

void worker_capture_drop(struct vgpu_worker *worker, struct worker_stream *stream)
{
    uint32_t graph = stream->capture_graph;

    capture_over(worker, stream->capture);
    worker_remove(worker, VGPU_TYPE_GRAPH, graph);
}

CUresult worker_do_StreamEndCapture(struct vgpu_worker *worker,
                                    const struct worker_args_StreamEndCapture *args,
                                    struct vgpu_answer *answer)
{
    struct worker_stream *stream = worker_stream_enter(worker, args->stream_handle);
    CUgraph graph = NULL;

    NEED(worker, cuStreamEndCapture);
    if (!stream || stream->capture_graph != args->graph_handle)
        return CUDA_ERROR_ILLEGAL_STATE;
    CUresult result = worker->driver->cuStreamEndCapture(args->stream, &graph);
    capture_over(worker, stream->capture);
    if (result != CUDA_SUCCESS || !graph) {
        worker_remove(worker, VGPU_TYPE_GRAPH, args->graph_handle);
        return result != CUDA_SUCCESS ? result : CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    }
    args->graph->graph = graph;
    args->graph->capturing = false;
    return CUDA_SUCCESS;
}

CUresult worker_do_StreamCaptureDependencies(
    struct vgpu_worker *worker, const struct worker_args_StreamCaptureDependencies *args,
    struct vgpu_rsp_StreamCaptureDependencies *out, struct vgpu_answer *answer)
{
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    const CUgraphNode *nodes = NULL;
    const CUgraphEdgeData *data = NULL;
    CUgraph graph = NULL;
    cuuint64_t id = 0;
    size_t count = 0;
    CUresult result =
        capture_info(worker, args->stream, &status, &id, &graph, &nodes, &data, &count);

    if (result != CUDA_SUCCESS)
        return result;
    out->status = status;
    if (status != CU_STREAM_CAPTURE_STATUS_ACTIVE || graph != args->graph->graph)
        return CUDA_SUCCESS;
    out->count = (uint32_t)count;
    for (size_t i = args->first; i < count; i++) {
        if (!put_edge(answer, args->graph, nodes[i], NULL, data ? &data[i] : NULL))
            break;
    }
    return CUDA_SUCCESS;
}

CUresult worker_do_StreamUpdateCaptureDependencies(
    struct vgpu_worker *worker, const struct worker_args_StreamUpdateCaptureDependencies *args,
    struct vgpu_answer *answer)
{
    const struct vgpu_driver *driver = worker->driver;
    CUresult result = read_edges(args->graph, args->edges, args->edges_bytes, true);

    if (result != CUDA_SUCCESS)
        return result;
    if (driver->cuStreamUpdateCaptureDependencies_v2)
        return driver->cuStreamUpdateCaptureDependencies_v2(
            args->stream, edges.from, edges.data ? edges.edge : NULL, edges.count, args->flags);
    NEED(worker, cuStreamUpdateCaptureDependencies);
    if (edges.data)
        return CUDA_ERROR_NOT_SUPPORTED;
    return driver->cuStreamUpdateCaptureDependencies(args->stream, edges.from, edges.count,
                                                     args->flags);
}

/* ---- bytes that graphs own ---- */

struct owned {
    size_t bytes;
    uint8_t data[];
};

static _Atomic uint64_t owned_bytes;

/* On a thread of the driver's, when the last graph that may read the bytes is gone. */
static void release_owned(void *pointer)
{
    struct owned *owned = pointer;

    atomic_fetch_sub(&owned_bytes, owned->bytes);
    free(owned);
}

CUresult worker_capture_own(struct vgpu_worker *worker, CUstream stream, void *pointer,
                            CUhostFn release)
{
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    const CUgraphNode *nodes = NULL;
    const CUgraphEdgeData *data = NULL;
    CUuserObject object = NULL;
    CUgraph graph = NULL;
    cuuint64_t id = 0;
    size_t count = 0;

    NEED(worker, cuUserObjectCreate);
    NEED(worker, cuGraphRetainUserObject);
    CUresult result = capture_info(worker, stream, &status, &id, &graph, &nodes, &data, &count);
    if (result != CUDA_SUCCESS)
        return result;
    if (status != CU_STREAM_CAPTURE_STATUS_ACTIVE)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    result = worker->driver->cuUserObjectCreate(&object, pointer, release, 1,
                                                CU_USER_OBJECT_NO_DESTRUCTOR_SYNC);
    if (result != CUDA_SUCCESS)
        return result;
    /* Were it to fail, the object would stay: lost, but not used after its end. */
    return worker->driver->cuGraphRetainUserObject(graph, object, 1, CU_GRAPH_USER_OBJECT_MOVE);
}

CUresult worker_capture_inline(struct vgpu_worker *worker, CUdeviceptr destination,
                               const void *data, size_t bytes, CUstream stream)
{
    if (atomic_load(&owned_bytes) + bytes > OWNED_MAX)
        return CUDA_ERROR_OUT_OF_MEMORY;
    struct owned *owned = malloc(sizeof(*owned) + bytes);
    if (!owned)
        return CUDA_ERROR_OUT_OF_MEMORY;
    owned->bytes = bytes;
    memcpy(owned->data, data, bytes);
    CUresult result = worker_capture_own(worker, stream, owned, release_owned);
    if (result != CUDA_SUCCESS) {
        free(owned);
        return result;
    }
    atomic_fetch_add(&owned_bytes, bytes);
    return worker->driver->cuMemcpyHtoDAsync_v2(destination, owned->data, bytes, stream);
}

/* ---- graphs ---- */

CUresult worker_do_GraphCreate(struct vgpu_worker *worker,
                               const struct worker_args_GraphCreate *args,
                               struct vgpu_answer *answer)
{
    CUgraph graph = NULL;

    NEED(worker, cuGraphCreate);
    NEED(worker, cuGraphDestroy);
    CUresult result = worker->driver->cuGraphCreate(&graph, args->flags);
    if (result != CUDA_SUCCESS)
        return result;
    result = adopt(worker, args->graph, graph);
    if (result != CUDA_SUCCESS)
        worker->driver->cuGraphDestroy(graph);
    return result;
}

CUresult worker_do_GraphClone(struct vgpu_worker *worker, const struct worker_args_GraphClone *args,
                              struct vgpu_answer *answer)
{
    CUgraph graph = NULL;

    NEED(worker, cuGraphClone);
    NEED(worker, cuGraphDestroy);
    CUresult result = worker->driver->cuGraphClone(&graph, args->original->graph);
    if (result != CUDA_SUCCESS)
        return result;
    result = adopt(worker, args->clone, graph);
    if (result != CUDA_SUCCESS)
        worker->driver->cuGraphDestroy(graph);
    return result;
}

CUresult worker_do_GraphDestroy(struct vgpu_worker *worker,
                                const struct worker_args_GraphDestroy *args,
                                struct vgpu_answer *answer)
{
    CUgraph graph = args->graph->graph;

    if (args->graph->capturing)
        return CUDA_ERROR_INVALID_VALUE;
    worker_remove(worker, VGPU_TYPE_GRAPH, args->graph_handle);
    NEED(worker, cuGraphDestroy);
    return worker->driver->cuGraphDestroy(graph);
}

CUresult worker_do_GraphNodes(struct vgpu_worker *worker, const struct worker_args_GraphNodes *args,
                              struct vgpu_rsp_GraphNodes *out, struct vgpu_answer *answer)
{
    const struct vgpu_driver *driver = worker->driver;
    size_t count = 0;

    NEED(worker, cuGraphGetNodes);
    NEED(worker, cuGraphGetRootNodes);
    NEED(worker, cuGraphNodeGetType);
    CUresult result = args->roots ? driver->cuGraphGetRootNodes(args->graph->graph, NULL, &count)
                                  : driver->cuGraphGetNodes(args->graph->graph, NULL, &count);
    if (result != CUDA_SUCCESS || !count)
        return result;
    CUgraphNode *nodes = calloc(count, sizeof(*nodes));
    if (!nodes)
        return CUDA_ERROR_OUT_OF_MEMORY;
    result = args->roots ? driver->cuGraphGetRootNodes(args->graph->graph, nodes, &count)
                         : driver->cuGraphGetNodes(args->graph->graph, nodes, &count);
    out->count = (uint32_t)count;
    for (size_t i = args->first; result == CUDA_SUCCESS && i < count; i++) {
        struct vgpu_graph_node node = {.node = number_of(args->graph, nodes[i])};
        CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
        if (answer->size + sizeof(node) > sizeof(answer->payload))
            break;
        result = driver->cuGraphNodeGetType(nodes[i], &type);
        node.type = type;
        memcpy(answer->payload + answer->size, &node, sizeof(node));
        answer->size += sizeof(node);
    }
    free(nodes);
    return result;
}

static CUresult get_edges(struct vgpu_worker *worker, CUgraph graph, CUgraphNode *from,
                          CUgraphNode *to, CUgraphEdgeData *data, size_t *count)
{
    if (worker->driver->cuGraphGetEdges_v2)
        return worker->driver->cuGraphGetEdges_v2(graph, from, to, data, count);
    NEED(worker, cuGraphGetEdges);
    return worker->driver->cuGraphGetEdges(graph, from, to, count);
}

CUresult worker_do_GraphEdges(struct vgpu_worker *worker, const struct worker_args_GraphEdges *args,
                              struct vgpu_rsp_GraphEdges *out, struct vgpu_answer *answer)
{
    size_t count = 0;
    CUresult result = get_edges(worker, args->graph->graph, NULL, NULL, NULL, &count);

    if (result != CUDA_SUCCESS || !count)
        return result;
    CUgraphNode *from = calloc(count, sizeof(*from)), *to = calloc(count, sizeof(*to));
    CUgraphEdgeData *data = calloc(count, sizeof(*data));
    result = from && to && data ? get_edges(worker, args->graph->graph, from, to, data, &count)
                                : CUDA_ERROR_OUT_OF_MEMORY;
    if (result == CUDA_SUCCESS) {
        out->count = (uint32_t)count;
        for (size_t i = args->first; i < count; i++) {
            if (!put_edge(answer, args->graph, from[i], to[i], &data[i]))
                break;
        }
    }
    free(from);
    free(to);
    free(data);
    return result;
}

CUresult worker_do_GraphEdgesChange(struct vgpu_worker *worker,
                                    const struct worker_args_GraphEdgesChange *args,
                                    struct vgpu_answer *answer)
{
    const struct vgpu_driver *driver = worker->driver;
    CUgraph graph = args->graph->graph;
    CUresult result = read_edges(args->graph, args->edges, args->edges_bytes, false);

    if (result != CUDA_SUCCESS || !edges.count)
        return result;
    if (edges.data) {
        NEED(worker, cuGraphAddDependencies_v2);
        NEED(worker, cuGraphRemoveDependencies_v2);
        return args->remove ? driver->cuGraphRemoveDependencies_v2(graph, edges.from, edges.to,
                                                                   edges.edge, edges.count)
                            : driver->cuGraphAddDependencies_v2(graph, edges.from, edges.to,
                                                                edges.edge, edges.count);
    }
    NEED(worker, cuGraphAddDependencies);
    NEED(worker, cuGraphRemoveDependencies);
    return args->remove
               ? driver->cuGraphRemoveDependencies(graph, edges.from, edges.to, edges.count)
               : driver->cuGraphAddDependencies(graph, edges.from, edges.to, edges.count);
}

CUresult worker_do_GraphDestroyNode(struct vgpu_worker *worker,
                                    const struct worker_args_GraphDestroyNode *args,
                                    struct vgpu_answer *answer)
{
    CUgraphNode node = node_of(args->graph, args->node);

    NEED(worker, cuGraphDestroyNode);
    if (!node)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult result = worker->driver->cuGraphDestroyNode(node);
    if (result == CUDA_SUCCESS) {
        /* The driver may give the next node the same address. */
        uint32_t *place = place_of(args->graph, node);
        uint32_t mask = args->graph->place_count - 1, at = (uint32_t)(place - args->graph->places);
        args->graph->nodes[args->node] = NULL;
        *place = 0;
        /* Entries behind it must still be found: put them in again. */
        for (at = (at + 1) & mask; args->graph->places[at]; at = (at + 1) & mask) {
            uint32_t number = args->graph->places[at];
            args->graph->places[at] = 0;
            *place_of(args->graph, args->graph->nodes[number - 1]) = number;
        }
    }
    return result;
}

CUresult worker_do_GraphFindInClone(struct vgpu_worker *worker,
                                    const struct worker_args_GraphFindInClone *args,
                                    struct vgpu_rsp_GraphFindInClone *out,
                                    struct vgpu_answer *answer)
{
    CUgraphNode node = node_of(args->original, args->node), found = NULL;

    NEED(worker, cuGraphNodeFindInClone);
    if (!node)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult result = worker->driver->cuGraphNodeFindInClone(&found, node, args->clone->graph);
    out->found = number_of(args->clone, found);
    return result;
}

/* ---- nodes ---- */

/* What a node operation is to do. */
enum node_use { NODE_ADD, NODE_SET, NODE_SET_EXEC, NODE_BAD };

static enum node_use use_of(const struct worker_graph *graph, uint32_t number, uint32_t exec,
                            CUgraphNode *node)
{
    *node = NULL;
    if (number == VGPU_NODE_NONE)
        return exec ? NODE_BAD : NODE_ADD;
    *node = node_of(graph, number);
    if (!*node)
        return NODE_BAD;
    return exec ? NODE_SET_EXEC : NODE_SET;
}

CUresult worker_do_GraphKernelNode(struct vgpu_worker *worker,
                                   const struct worker_args_GraphKernelNode *args,
                                   struct vgpu_rsp_GraphKernelNode *out, struct vgpu_answer *answer)
{
    const struct vgpu_driver *driver = worker->driver;
    struct worker_function *function = worker_function(worker, args->function_handle);
    uint64_t skip = (uint64_t)args->dependency_count * sizeof(struct vgpu_graph_edge);
    CUgraphNode node;
    enum node_use use = use_of(args->graph, args->node, args->exec_handle, &node);

    if (use == NODE_BAD || skip > args->arguments_bytes)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult result = read_edges(args->graph, args->arguments, (uint32_t)skip, true);
    if (result != CUDA_SUCCESS)
        return result;
    size_t bytes = args->arguments_bytes - skip;
    result = worker_params_fit(worker, function, args->function, bytes);
    if (result != CUDA_SUCCESS)
        return result;
    void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, (void *)(args->arguments + skip),
                     CU_LAUNCH_PARAM_BUFFER_SIZE, &bytes, CU_LAUNCH_PARAM_END};
    CUDA_KERNEL_NODE_PARAMS_v2 params = {
        .func = args->function,
        .gridDimX = args->grid[0],
        .gridDimY = args->grid[1],
        .gridDimZ = args->grid[2],
        .blockDimX = args->block[0],
        .blockDimY = args->block[1],
        .blockDimZ = args->block[2],
        .sharedMemBytes = args->shared,
        .extra = bytes ? extra : NULL,
    };
    out->made = args->node;
    switch (use) {
    case NODE_SET:
        NEED(worker, cuGraphKernelNodeSetParams_v2);
        return driver->cuGraphKernelNodeSetParams_v2(node, &params);
    case NODE_SET_EXEC:
        NEED(worker, cuGraphExecKernelNodeSetParams_v2);
        return driver->cuGraphExecKernelNodeSetParams_v2(args->exec, node, &params);
    default:
        NEED(worker, cuGraphAddKernelNode_v2);
        result = driver->cuGraphAddKernelNode_v2(&node, args->graph->graph, edges.from,
                                                 plain_count(), &params);
        return made(worker, args->graph, node, result, &out->made);
    }
}

CUresult worker_do_GraphCopyNode(struct vgpu_worker *worker,
                                 const struct worker_args_GraphCopyNode *args,
                                 struct vgpu_rsp_GraphCopyNode *out, struct vgpu_answer *answer)
{
    const struct vgpu_driver *driver = worker->driver;
    CUDA_MEMCPY3D box;
    CUgraphNode node;
    enum node_use use = use_of(args->graph, args->node, args->exec_handle, &node);

    if (use == NODE_BAD)
        return CUDA_ERROR_INVALID_VALUE;
    if (!worker->current)
        return CUDA_ERROR_INVALID_CONTEXT;
    CUresult result = read_edges(args->graph, args->edges, args->edges_bytes, true);
    if (result == CUDA_SUCCESS)
        result = worker_copy_box(worker, args->destination, args->source, args->destination_pitch,
                                 args->source_pitch, args->destination_rows, args->source_rows,
                                 args->width, args->height, args->depth, &box);
    if (result != CUDA_SUCCESS)
        return result;
    out->made = args->node;
    switch (use) {
    case NODE_SET:
        NEED(worker, cuGraphMemcpyNodeSetParams);
        return driver->cuGraphMemcpyNodeSetParams(node, &box);
    case NODE_SET_EXEC:
        NEED(worker, cuGraphExecMemcpyNodeSetParams);
        return driver->cuGraphExecMemcpyNodeSetParams(args->exec, node, &box,
                                                      worker->current->context);
    default:
        NEED(worker, cuGraphAddMemcpyNode);
        result = driver->cuGraphAddMemcpyNode(&node, args->graph->graph, edges.from, plain_count(),
                                              &box, worker->current->context);
        return made(worker, args->graph, node, result, &out->made);
    }
}

CUresult worker_do_GraphFillNode(struct vgpu_worker *worker,
                                 const struct worker_args_GraphFillNode *args,
                                 struct vgpu_rsp_GraphFillNode *out, struct vgpu_answer *answer)
{
    const struct vgpu_driver *driver = worker->driver;
    CUgraphNode node;
    uint64_t bytes;
    enum node_use use = use_of(args->graph, args->node, args->exec_handle, &node);

    if (use == NODE_BAD)
        return CUDA_ERROR_INVALID_VALUE;
    if (!worker->current)
        return CUDA_ERROR_INVALID_CONTEXT;
    CUresult result = read_edges(args->graph, args->edges, args->edges_bytes, true);
    if (result == CUDA_SUCCESS)
        result = worker_fill_area(worker, args->destination, args->pitch, args->width, args->height,
                                  args->element, &bytes);
    if (result != CUDA_SUCCESS)
        return result;
    CUDA_MEMSET_NODE_PARAMS params = {
        .dst = args->destination,
        .pitch = args->pitch,
        .value = args->value,
        .elementSize = args->element,
        .width = args->width,
        .height = args->height,
    };
    out->made = args->node;
    switch (use) {
    case NODE_SET:
        NEED(worker, cuGraphMemsetNodeSetParams);
        return driver->cuGraphMemsetNodeSetParams(node, &params);
    case NODE_SET_EXEC:
        NEED(worker, cuGraphExecMemsetNodeSetParams);
        return driver->cuGraphExecMemsetNodeSetParams(args->exec, node, &params,
                                                      worker->current->context);
    default:
        NEED(worker, cuGraphAddMemsetNode);
        result = driver->cuGraphAddMemsetNode(&node, args->graph->graph, edges.from, plain_count(),
                                              &params, worker->current->context);
        return made(worker, args->graph, node, result, &out->made);
    }
}

CUresult worker_do_GraphEmptyNode(struct vgpu_worker *worker,
                                  const struct worker_args_GraphEmptyNode *args,
                                  struct vgpu_rsp_GraphEmptyNode *out, struct vgpu_answer *answer)
{
    CUgraphNode node = NULL;
    CUresult result = read_edges(args->graph, args->edges, args->edges_bytes, true);

    NEED(worker, cuGraphAddEmptyNode);
    if (result != CUDA_SUCCESS)
        return result;
    result =
        worker->driver->cuGraphAddEmptyNode(&node, args->graph->graph, edges.from, plain_count());
    return made(worker, args->graph, node, result, &out->made);
}

CUresult worker_do_GraphChildNode(struct vgpu_worker *worker,
                                  const struct worker_args_GraphChildNode *args,
                                  struct vgpu_rsp_GraphChildNode *out, struct vgpu_answer *answer)
{
    CUgraphNode node;
    enum node_use use = use_of(args->graph, args->node, args->exec_handle, &node);
    CUresult result = read_edges(args->graph, args->edges, args->edges_bytes, true);

    if (result != CUDA_SUCCESS)
        return result;
    out->made = args->node;
    if (use == NODE_SET_EXEC) {
        NEED(worker, cuGraphExecChildGraphNodeSetParams);
        return worker->driver->cuGraphExecChildGraphNodeSetParams(args->exec, node,
                                                                  args->child->graph);
    }
    if (use != NODE_ADD || args->child == args->graph)
        return CUDA_ERROR_INVALID_VALUE;
    NEED(worker, cuGraphAddChildGraphNode);
    result = worker->driver->cuGraphAddChildGraphNode(&node, args->graph->graph, edges.from,
                                                      plain_count(), args->child->graph);
    return made(worker, args->graph, node, result, &out->made);
}

CUresult worker_do_GraphEventNode(struct vgpu_worker *worker,
                                  const struct worker_args_GraphEventNode *args,
                                  struct vgpu_rsp_GraphEventNode *out, struct vgpu_answer *answer)
{
    const struct vgpu_driver *driver = worker->driver;
    CUgraphNode node;
    enum node_use use = use_of(args->graph, args->node, args->exec_handle, &node);
    CUresult result = read_edges(args->graph, args->edges, args->edges_bytes, true);

    if (result != CUDA_SUCCESS)
        return result;
    out->made = args->node;
    if (use == NODE_SET_EXEC) {
        NEED(worker, cuGraphExecEventRecordNodeSetEvent);
        NEED(worker, cuGraphExecEventWaitNodeSetEvent);
        return args->wait
                   ? driver->cuGraphExecEventWaitNodeSetEvent(args->exec, node, args->event)
                   : driver->cuGraphExecEventRecordNodeSetEvent(args->exec, node, args->event);
    }
    if (use != NODE_ADD)
        return CUDA_ERROR_INVALID_VALUE;
    NEED(worker, cuGraphAddEventRecordNode);
    NEED(worker, cuGraphAddEventWaitNode);
    result = args->wait ? driver->cuGraphAddEventWaitNode(&node, args->graph->graph, edges.from,
                                                          plain_count(), args->event)
                        : driver->cuGraphAddEventRecordNode(&node, args->graph->graph, edges.from,
                                                            plain_count(), args->event);
    return made(worker, args->graph, node, result, &out->made);
}

/* ---- graphs that can be launched ---- */

CUresult worker_do_GraphInstantiate(struct vgpu_worker *worker,
                                    const struct worker_args_GraphInstantiate *args,
                                    struct vgpu_rsp_GraphInstantiate *out,
                                    struct vgpu_answer *answer)
{
    const uint64_t allowed = CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH |
                             CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY;
    CUDA_GRAPH_INSTANTIATE_PARAMS params = {.flags = args->flags};
    CUgraphExec exec = NULL;
    CUresult result;

    out->failed_node = VGPU_NODE_NONE;
    if (args->flags & ~allowed)
        return CUDA_ERROR_NOT_SUPPORTED;
    if (args->graph->capturing)
        return CUDA_ERROR_INVALID_VALUE;
    NEED(worker, cuGraphExecDestroy);
    if (worker->driver->cuGraphInstantiateWithParams) {
        result = worker->driver->cuGraphInstantiateWithParams(&exec, args->graph->graph, &params);
        out->failure = params.result_out;
        if (result != CUDA_SUCCESS)
            out->failed_node = number_of(args->graph, params.hErrNode_out);
    } else {
        NEED(worker, cuGraphInstantiateWithFlags);
        result =
            worker->driver->cuGraphInstantiateWithFlags(&exec, args->graph->graph, args->flags);
        out->failure =
            result == CUDA_SUCCESS ? CUDA_GRAPH_INSTANTIATE_SUCCESS : CUDA_GRAPH_INSTANTIATE_ERROR;
    }
    if (result == CUDA_SUCCESS)
        worker_insert(worker, VGPU_TYPE_GRAPH_EXEC, args->exec, exec);
    out->status = result;
    return CUDA_SUCCESS;
}

CUresult worker_do_GraphLaunch(struct vgpu_worker *worker,
                               const struct worker_args_GraphLaunch *args,
                               struct vgpu_answer *answer)
{
    struct worker_stream *stream = worker_stream_enter(worker, args->stream_handle);

    if (!stream)
        return CUDA_ERROR_INVALID_CONTEXT;
    NEED(worker, cuGraphLaunch);
    struct work_entry *work = worker_work_begin(worker, stream, 0, false);
    CUresult result = worker->driver->cuGraphLaunch(args->exec, stream->stream);
    return worker_work_end(worker, work, stream, result);
}

CUresult worker_do_GraphUpload(struct vgpu_worker *worker,
                               const struct worker_args_GraphUpload *args,
                               struct vgpu_answer *answer)
{
    struct worker_stream *stream = worker_stream_enter(worker, args->stream_handle);

    if (!stream)
        return CUDA_ERROR_INVALID_CONTEXT;
    NEED(worker, cuGraphUpload);
    struct work_entry *work = worker_work_begin(worker, stream, 0, false);
    CUresult result = worker->driver->cuGraphUpload(args->exec, stream->stream);
    return worker_work_end(worker, work, stream, result);
}

CUresult worker_do_GraphExecUpdate(struct vgpu_worker *worker,
                                   const struct worker_args_GraphExecUpdate *args,
                                   struct vgpu_rsp_GraphExecUpdate *out, struct vgpu_answer *answer)
{
    CUgraphExecUpdateResultInfo info = {0};

    NEED(worker, cuGraphExecUpdate_v2);
    out->status = worker->driver->cuGraphExecUpdate_v2(args->exec, args->graph->graph, &info);
    out->update = info.result;
    out->node = number_of(args->graph, info.errorNode);
    out->from = number_of(args->graph, info.errorFromNode);
    return CUDA_SUCCESS;
}

CUresult worker_do_GraphNodeSetEnabled(struct vgpu_worker *worker,
                                       const struct worker_args_GraphNodeSetEnabled *args,
                                       struct vgpu_answer *answer)
{
    CUgraphNode node = node_of(args->graph, args->node);

    NEED(worker, cuGraphNodeSetEnabled);
    return node ? worker->driver->cuGraphNodeSetEnabled(args->exec, node, args->enabled)
                : CUDA_ERROR_INVALID_VALUE;
}

CUresult worker_do_GraphNodeGetEnabled(struct vgpu_worker *worker,
                                       const struct worker_args_GraphNodeGetEnabled *args,
                                       struct vgpu_rsp_GraphNodeGetEnabled *out,
                                       struct vgpu_answer *answer)
{
    CUgraphNode node = node_of(args->graph, args->node);

    NEED(worker, cuGraphNodeGetEnabled);
    return node ? worker->driver->cuGraphNodeGetEnabled(args->exec, node, &out->enabled)
                : CUDA_ERROR_INVALID_VALUE;
}
