/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stream capture. The host's driver captures; which streams take part and who may do what meanwhile
 * is known here, so that asking whether a stream captures costs nothing and the rules about threads
 * hold although one thread of the host makes all calls.
 *
 * Work that fails during a capture is found out by the host and reported when the capture ends.
 */
#include <stdlib.h>
#include <string.h>

#include "guest/libcuda/guest.h"
#include "vgpu_rpc.h"

struct capture {
    struct capture *next;
    uint32_t number;
    uint64_t id; /* the driver's */
    CUstreamCaptureMode mode;
    struct vgpu_thread *thread; /* that began it */
    struct vgpu_object *origin; /* the stream */
    struct vgpu_object *graph;
    bool invalid;
    CUgraphNode *nodes; /* what was handed out as dependencies */
    CUgraphEdgeData *edges;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct capture *captures;
static uint32_t last_number;

static struct capture *lookup(uint32_t number)
{
    struct capture *capture = captures;
    while (capture && capture->number != number)
        capture = capture->next;
    return capture;
}

uint32_t vgpu_capture_of(uint32_t wire)
{
    struct vgpu_object *object = &vgpu_objects[VGPU_HANDLE_INDEX(wire)];
    if (!wire || object->type != VGPU_TYPE_STREAM || vgpu_wire(object) != wire)
        return 0;
    return atomic_load_explicit(&object->stream.capture, memory_order_relaxed);
}

void vgpu_capture_join(struct vgpu_object *stream, uint32_t number)
{
    pthread_mutex_lock(&lock);
    /* A stream of another capture stays there: the host refuses to merge two. */
    if (lookup(number) && !atomic_load_explicit(&stream->stream.capture, memory_order_relaxed))
        atomic_store_explicit(&stream->stream.capture, number, memory_order_relaxed);
    pthread_mutex_unlock(&lock);
}

void vgpu_capture_invalidate(uint32_t number)
{
    pthread_mutex_lock(&lock);
    struct capture *capture = lookup(number);
    if (capture)
        capture->invalid = true;
    pthread_mutex_unlock(&lock);
}

/* Forgets a capture; lock held. */
static void end(struct capture *capture)
{
    struct capture **link = &captures;
    while (*link != capture)
        link = &(*link)->next;
    *link = capture->next;

    uint32_t places = vgpu_objects_end();
    for (uint32_t i = 1; i < places; i++) {
        struct vgpu_object *object = &vgpu_objects[i];
        uint32_t number = capture->number;
        if (object->type == VGPU_TYPE_STREAM)
            atomic_compare_exchange_strong(&object->stream.capture, &number, 0);
    }
    atomic_fetch_sub(&vgpu.captures, 1);
    free(capture->nodes);
    free(capture->edges);
    free(capture);
}

void vgpu_capture_destroyed(struct vgpu_object *stream)
{
    if (!atomic_load_explicit(&vgpu.captures, memory_order_relaxed))
        return;
    pthread_mutex_lock(&lock);
    struct capture *capture = lookup(atomic_load(&stream->stream.capture));
    struct vgpu_object *graph = NULL;
    if (capture && capture->origin == stream) {
        graph = capture->graph;
        end(capture);
    }
    pthread_mutex_unlock(&lock);
    if (graph)
        vgpu_graph_free(graph);
}

/*
 * A thread in relaxed mode may do everything. In thread-local mode its own captures forbid calls
 * that might depend on captured work, in global mode everybody's that are not relaxed or
 * thread-local to another thread do.
 */
CUresult vgpu_capture_check_slow(void)
{
    struct vgpu_thread *self = vgpu_thread();
    CUresult result = CUDA_SUCCESS;

    if (self->capture_mode == CU_STREAM_CAPTURE_MODE_RELAXED)
        return CUDA_SUCCESS;
    pthread_mutex_lock(&lock);
    for (struct capture *c = captures; c; c = c->next) {
        bool forbids = c->thread == self ? c->mode != CU_STREAM_CAPTURE_MODE_RELAXED
                                         : c->mode == CU_STREAM_CAPTURE_MODE_GLOBAL &&
                                               self->capture_mode == CU_STREAM_CAPTURE_MODE_GLOBAL;
        if (forbids) {
            c->invalid = true;
            result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        }
    }
    pthread_mutex_unlock(&lock);
    return result;
}

/* ---- beginning and ending ----------------------------------------------------------------------
 */

static CUresult begin(CUstream stream, CUstreamCaptureMode mode)
{
    struct vgpu_object *object, *context;
    CUresult result = vgpu_stream_find(stream, &object, &context);
    if (result != CUDA_SUCCESS)
        return result;
    if ((unsigned)mode > CU_STREAM_CAPTURE_MODE_RELAXED)
        return CUDA_ERROR_INVALID_VALUE;
    if (!object) /* the legacy default stream */
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (atomic_load(&object->stream.capture))
        return CUDA_ERROR_ILLEGAL_STATE;
    struct capture *capture = calloc(1, sizeof(*capture));
    struct vgpu_object *graph = capture ? vgpu_graph_new(context) : NULL;
    if (!graph) {
        free(capture);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    struct vgpu_thread *thread = vgpu_thread();
    struct vgpu_object *current = thread->current;
    thread->current = context;
    result = vgpu_rpc_StreamBeginCapture(vgpu_wire(object), vgpu_wire(graph), &capture->id);
    thread->current = current;
    if (result != CUDA_SUCCESS) {
        vgpu_graph_free(graph);
        free(capture);
        return result;
    }
    capture->mode = mode;
    capture->thread = thread;
    capture->origin = object;
    capture->graph = graph;
    pthread_mutex_lock(&lock);
    if (++last_number == 0)
        last_number = 1;
    capture->number = last_number;
    capture->next = captures;
    captures = capture;
    atomic_store(&object->stream.capture, capture->number);
    atomic_fetch_add(&vgpu.captures, 1);
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

CUresult cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode)
{
    return begin(stream, mode);
}

VGPU_EXPORT(cuStreamBeginCapture_v2_ptsz, CUstream stream, CUstreamCaptureMode mode)
{
    return begin(VGPU_PTSZ(stream), mode);
}

/* The first form had no modes: what it did is called global now. */
VGPU_EXPORT(cuStreamBeginCapture, CUstream stream)
{
    return begin(stream, CU_STREAM_CAPTURE_MODE_GLOBAL);
}

VGPU_EXPORT(cuStreamBeginCapture_ptsz, CUstream stream)
{
    return begin(VGPU_PTSZ(stream), CU_STREAM_CAPTURE_MODE_GLOBAL);
}

static CUresult end_capture(CUstream stream, CUgraph *out)
{
    struct vgpu_object *object, *context;
    CUresult result = vgpu_stream_find(stream, &object, &context);
    if (result != CUDA_SUCCESS)
        return result;
    if (!out)
        return CUDA_ERROR_INVALID_VALUE;
    *out = NULL;
    if (!object)
        return CUDA_ERROR_ILLEGAL_STATE;

    struct vgpu_thread *thread = vgpu_thread();
    struct vgpu_object *graph = NULL;
    bool invalid = false;
    pthread_mutex_lock(&lock);
    struct capture *capture = lookup(atomic_load(&object->stream.capture));
    if (!capture)
        result = CUDA_ERROR_ILLEGAL_STATE;
    else if (capture->origin != object)
        result = CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
    else if (capture->thread != thread && capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED)
        result = CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
    if (result == CUDA_SUCCESS) {
        graph = capture->graph;
        invalid = capture->invalid;
        end(capture);
    }
    pthread_mutex_unlock(&lock);
    if (result != CUDA_SUCCESS)
        return result;

    struct vgpu_object *current = thread->current;
    thread->current = context;
    result = vgpu_rpc_StreamEndCapture(vgpu_wire(object), vgpu_wire(graph));
    if (result == CUDA_SUCCESS && invalid) {
        vgpu_rpc_GraphDestroy(vgpu_wire(graph));
        result = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    }
    thread->current = current;
    if (result == CUDA_SUCCESS)
        *out = (CUgraph)graph;
    else
        vgpu_graph_free(graph);
    return result;
}

CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph)
{
    return end_capture(stream, graph);
}

VGPU_EXPORT(cuStreamEndCapture_ptsz, CUstream stream, CUgraph *graph)
{
    return end_capture(VGPU_PTSZ(stream), graph);
}

/* ---- questions ---------------------------------------------------------------------------------
 */

struct info {
    CUstreamCaptureStatus status;
    uint64_t id;
    struct vgpu_object *graph;
};

static CUresult look(CUstream stream, struct vgpu_object **object, struct vgpu_object **context,
                     struct info *info)
{
    CUresult result = vgpu_stream_find(stream, object, context);
    *info = (struct info){.status = CU_STREAM_CAPTURE_STATUS_NONE};
    if (result != CUDA_SUCCESS || !*object ||
        likely(!atomic_load_explicit(&vgpu.captures, memory_order_relaxed)))
        return result;
    uint32_t number = atomic_load_explicit(&(*object)->stream.capture, memory_order_relaxed);
    if (!number)
        return CUDA_SUCCESS;
    pthread_mutex_lock(&lock);
    struct capture *capture = lookup(number);
    if (capture) {
        info->status = capture->invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                        : CU_STREAM_CAPTURE_STATUS_ACTIVE;
        info->id = capture->id;
        info->graph = capture->graph;
    }
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

static CUresult is_capturing(CUstream stream, CUstreamCaptureStatus *status)
{
    struct vgpu_object *object, *context;
    struct info info;
    CUresult result = look(stream, &object, &context, &info);
    if (result != CUDA_SUCCESS)
        return result;
    if (!status)
        return CUDA_ERROR_INVALID_VALUE;
    *status = info.status;
    return CUDA_SUCCESS;
}

CUresult cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus *status)
{
    return is_capturing(stream, status);
}

VGPU_EXPORT(cuStreamIsCapturing_ptsz, CUstream stream, CUstreamCaptureStatus *status)
{
    return is_capturing(VGPU_PTSZ(stream), status);
}

/* Fetches what the stream's next work will depend on into buffers that live as long as the capture.
 */
static CUresult dependencies(struct vgpu_object *object, const struct info *info,
                             const CUgraphNode **nodes, const CUgraphEdgeData **edges,
                             size_t *count_out)
{
    uint8_t tail[VGPU_REPLY_PAYLOAD];
    CUgraphNode *list = NULL;
    CUgraphEdgeData *data = NULL;
    uint32_t got = 0, count = 1;
    bool special = false;
    CUresult result = CUDA_SUCCESS;

    while (got < count && result == CUDA_SUCCESS) {
        uint32_t bytes = sizeof(tail), status = 0;
        count = 0;
        result = vgpu_rpc_StreamCaptureDependencies(vgpu_wire(object), vgpu_wire(info->graph), got,
                                                    &status, &count, tail, &bytes);
        if (result != CUDA_SUCCESS || got >= count)
            break;
        if (!list) {
            list = calloc(count, sizeof(CUgraphNode));
            data = calloc(count, sizeof(*data));
        }
        if (!list || !data || bytes < sizeof(struct vgpu_graph_edge)) {
            result = list && data ? CUDA_ERROR_UNKNOWN : CUDA_ERROR_OUT_OF_MEMORY;
            break;
        }
        for (uint32_t i = 0; i < bytes / sizeof(struct vgpu_graph_edge) && got < count; i++) {
            struct vgpu_graph_edge edge;
            memcpy(&edge, tail + i * sizeof(edge), sizeof(edge));
            list[got] = (CUgraphNode)vgpu_graph_node(info->graph, edge.from, VGPU_NODE_NONE);
            memcpy(&data[got], edge.data, sizeof(edge.data));
            for (unsigned b = 0; b < sizeof(edge.data); b++)
                special |= edge.data[b] != 0;
            if (!list[got++]) {
                result = CUDA_ERROR_OUT_OF_MEMORY;
                break;
            }
        }
    }
    /* Edges that the older question cannot show. */
    if (result == CUDA_SUCCESS && special && !edges)
        result = CUDA_ERROR_LOSSY_QUERY;
    pthread_mutex_lock(&lock);
    struct capture *capture =
        result == CUDA_SUCCESS ? lookup(atomic_load(&object->stream.capture)) : NULL;
    if (capture) {
        free(capture->nodes);
        free(capture->edges);
        capture->nodes = list;
        capture->edges = data;
        if (nodes)
            *nodes = list;
        if (edges)
            *edges = special ? data : NULL;
        if (count_out)
            *count_out = got;
        list = NULL;
        data = NULL;
    }
    pthread_mutex_unlock(&lock);
    free(list);
    free(data);
    return result;
}

static CUresult capture_info(CUstream stream, CUstreamCaptureStatus *status, cuuint64_t *id,
                             CUgraph *graph, const CUgraphNode **nodes,
                             const CUgraphEdgeData **edges, size_t *count)
{
    struct vgpu_object *object, *context;
    struct info info;
    CUresult result = look(stream, &object, &context, &info);
    if (result != CUDA_SUCCESS)
        return result;
    if (!status)
        return CUDA_ERROR_INVALID_VALUE;
    *status = info.status;
    /* The rest is set only while capturing. */
    if (info.status != CU_STREAM_CAPTURE_STATUS_ACTIVE)
        return CUDA_SUCCESS;
    if (id)
        *id = info.id;
    if (graph)
        *graph = (CUgraph)info.graph;
    if (!nodes && !edges && !count)
        return CUDA_SUCCESS;
    struct vgpu_thread *thread = vgpu_thread();
    struct vgpu_object *current = thread->current;
    thread->current = context;
    result = dependencies(object, &info, nodes, edges, count);
    thread->current = current;
    return result;
}

VGPU_EXPORT(cuStreamGetCaptureInfo, CUstream stream, CUstreamCaptureStatus *status, cuuint64_t *id)
{
    return capture_info(stream, status, id, NULL, NULL, NULL, NULL);
}

VGPU_EXPORT(cuStreamGetCaptureInfo_ptsz, CUstream stream, CUstreamCaptureStatus *status,
            cuuint64_t *id)
{
    return capture_info(VGPU_PTSZ(stream), status, id, NULL, NULL, NULL, NULL);
}

CUresult cuStreamGetCaptureInfo_v2(CUstream stream, CUstreamCaptureStatus *status, cuuint64_t *id,
                                   CUgraph *graph, const CUgraphNode **nodes, size_t *count)
{
    return capture_info(stream, status, id, graph, nodes, NULL, count);
}

VGPU_EXPORT(cuStreamGetCaptureInfo_v2_ptsz, CUstream stream, CUstreamCaptureStatus *status,
            cuuint64_t *id, CUgraph *graph, const CUgraphNode **nodes, size_t *count)
{
    return capture_info(VGPU_PTSZ(stream), status, id, graph, nodes, NULL, count);
}

CUresult cuStreamGetCaptureInfo_v3(CUstream stream, CUstreamCaptureStatus *status, cuuint64_t *id,
                                   CUgraph *graph, const CUgraphNode **nodes,
                                   const CUgraphEdgeData **edges, size_t *count)
{
    return capture_info(stream, status, id, graph, nodes, edges, count);
}

VGPU_EXPORT(cuStreamGetCaptureInfo_v3_ptsz, CUstream stream, CUstreamCaptureStatus *status,
            cuuint64_t *id, CUgraph *graph, const CUgraphNode **nodes,
            const CUgraphEdgeData **edges, size_t *count)
{
    return capture_info(VGPU_PTSZ(stream), status, id, graph, nodes, edges, count);
}

static CUresult update(CUstream stream, const CUgraphNode *nodes, const CUgraphEdgeData *edges,
                       size_t count, unsigned flags)
{
    struct vgpu_object *object, *context;
    struct info info;
    CUresult result = look(stream, &object, &context, &info);
    if (result != CUDA_SUCCESS)
        return result;
    if (info.status != CU_STREAM_CAPTURE_STATUS_ACTIVE)
        return CUDA_ERROR_ILLEGAL_STATE;
    if (flags > CU_STREAM_SET_CAPTURE_DEPENDENCIES || (count && !nodes) ||
        count > 32768 / sizeof(struct vgpu_graph_edge))
        return CUDA_ERROR_INVALID_VALUE;
    struct vgpu_graph_edge *list = calloc(count + 1, sizeof(*list));
    if (!list)
        return CUDA_ERROR_OUT_OF_MEMORY;
    result = vgpu_graph_edges(info.graph, nodes, edges, count, list);
    if (result == CUDA_SUCCESS) {
        struct vgpu_thread *thread = vgpu_thread();
        struct vgpu_object *current = thread->current;
        thread->current = context;
        result = vgpu_rpc_StreamUpdateCaptureDependencies(vgpu_wire(object), vgpu_wire(info.graph),
                                                          flags, list,
                                                          (uint32_t)(count * sizeof(*list)));
        thread->current = current;
    }
    free(list);
    return result;
}

CUresult cuStreamUpdateCaptureDependencies(CUstream stream, CUgraphNode *nodes, size_t count,
                                           unsigned int flags)
{
    return update(stream, nodes, NULL, count, flags);
}

VGPU_EXPORT(cuStreamUpdateCaptureDependencies_ptsz, CUstream stream, CUgraphNode *nodes,
            size_t count, unsigned int flags)
{
    return update(VGPU_PTSZ(stream), nodes, NULL, count, flags);
}

CUresult cuStreamUpdateCaptureDependencies_v2(CUstream stream, CUgraphNode *nodes,
                                              const CUgraphEdgeData *edges, size_t count,
                                              unsigned int flags)
{
    return update(stream, nodes, edges, count, flags);
}

VGPU_EXPORT(cuStreamUpdateCaptureDependencies_v2_ptsz, CUstream stream, CUgraphNode *nodes,
            const CUgraphEdgeData *edges, size_t count, unsigned int flags)
{
    return update(VGPU_PTSZ(stream), nodes, edges, count, flags);
}

CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!mode || (unsigned)*mode > CU_STREAM_CAPTURE_MODE_RELAXED)
        return CUDA_ERROR_INVALID_VALUE;
    struct vgpu_thread *thread = vgpu_thread();
    int old = thread->capture_mode;
    thread->capture_mode = (int)*mode;
    *mode = (CUstreamCaptureMode)old;
    return CUDA_SUCCESS;
}
