/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graphs. They live on the host; here is a handle for each, and one for each of their nodes that
 * the program has seen. Making and changing graphs waits for the host's answer, launching one does
 * not.
 */
#include <stdlib.h>
#include <string.h>

#include "guest/libcuda/rpc.h"
#include "vgpu_rpc.h"

#define EDGES_MAX (32768u / sizeof(struct vgpu_graph_edge)) /* of one call */
#define ARGUMENTS_MAX 49152u                                /* of op GraphKernelNode */

struct vgpu_graph {
    pthread_mutex_t lock;
    struct vgpu_object **nodes; /* by number; NULL: not seen, or destroyed */
    uint32_t room;
};

struct vgpu_object *vgpu_graph_new(struct vgpu_object *context)
{
    struct vgpu_graph *state = calloc(1, sizeof(*state));
    struct vgpu_object *graph = state ? vgpu_object_new(VGPU_TYPE_GRAPH, context) : NULL;
    if (!graph) {
        free(state);
        return NULL;
    }
    pthread_mutex_init(&state->lock, NULL);
    graph->graph = state;
    return graph;
}

struct vgpu_object *vgpu_graph_node(struct vgpu_object *graph, uint32_t number, uint32_t type)
{
    struct vgpu_graph *state = graph->graph;
    struct vgpu_object *node = NULL;

    if (number >= VGPU_HANDLE_MAX)
        return NULL;
    pthread_mutex_lock(&state->lock);
    if (number >= state->room) {
        uint32_t room = state->room ? state->room : 32;
        while (room <= number)
            room *= 2;
        struct vgpu_object **more = realloc(state->nodes, room * sizeof(*more));
        if (more) {
            memset(more + state->room, 0, (room - state->room) * sizeof(*more));
            state->nodes = more;
            state->room = room;
        }
    }
    if (number < state->room) {
        node = state->nodes[number];
        if (!node) {
            node = vgpu_object_new(VGPU_TYPE_GRAPH_NODE, graph->context);
            if (node) {
                node->node.graph = graph;
                node->node.number = number;
                node->node.type = VGPU_NODE_NONE;
                state->nodes[number] = node;
            }
        }
        if (node && type != VGPU_NODE_NONE)
            node->node.type = type;
    }
    pthread_mutex_unlock(&state->lock);
    return node;
}

void vgpu_graph_release(struct vgpu_object *graph)
{
    struct vgpu_graph *state = graph->graph;

    graph->graph = NULL;
    if (!state)
        return;
    pthread_mutex_destroy(&state->lock);
    free(state->nodes);
    free(state);
}

void vgpu_graph_free(struct vgpu_object *graph)
{
    struct vgpu_graph *state = graph->graph;

    for (uint32_t i = 0; state && i < state->room; i++)
        if (state->nodes[i])
            vgpu_object_free(state->nodes[i]);
    vgpu_object_free(graph);
}

CUresult vgpu_graph_edges(struct vgpu_object *graph, const CUgraphNode *nodes,
                          const CUgraphEdgeData *data, size_t count, struct vgpu_graph_edge *out)
{
    for (size_t i = 0; i < count; i++) {
        const struct vgpu_object *node = (const struct vgpu_object *)nodes[i];
        if (!vgpu_object_is(node, VGPU_TYPE_GRAPH_NODE) || node->node.graph != graph)
            return CUDA_ERROR_INVALID_VALUE;
        out[i] = (struct vgpu_graph_edge){.from = node->node.number};
        if (data)
            memcpy(out[i].data, &data[i], sizeof(out[i].data));
    }
    return CUDA_SUCCESS;
}

static struct vgpu_object *graph_of(CUgraph graph)
{
    return vgpu_object_is(graph, VGPU_TYPE_GRAPH) ? (struct vgpu_object *)graph : NULL;
}

static struct vgpu_object *node_of(CUgraphNode node)
{
    return vgpu_object_is(node, VGPU_TYPE_GRAPH_NODE) ? (struct vgpu_object *)node : NULL;
}

static struct vgpu_object *exec_of(CUgraphExec exec)
{
    return vgpu_object_is(exec, VGPU_TYPE_GRAPH_EXEC) ? (struct vgpu_object *)exec : NULL;
}

/* The program's name for a node that the host named by number; NULL for none. */
static CUgraphNode shown(struct vgpu_object *graph, uint32_t number)
{
    return number == VGPU_NODE_NONE ? NULL
                                    : (CUgraphNode)vgpu_graph_node(graph, number, VGPU_NODE_NONE);
}

/* ---- graphs ------------------------------------------------------------------------------------
 */

CUresult cuGraphCreate(CUgraph *out, unsigned int flags)
{
    CUresult result = vgpu_able();
    if (result != CUDA_SUCCESS)
        return result;
    if (!out || flags)
        return CUDA_ERROR_INVALID_VALUE;
    /* A graph belongs to no context, but what the host keeps of it goes with one. */
    struct vgpu_object *context = vgpu_thread()->current;
    struct vgpu_object *graph = vgpu_graph_new(context);
    if (!graph)
        return CUDA_ERROR_OUT_OF_MEMORY;
    result = vgpu_rpc_GraphCreate(vgpu_wire(graph), flags);
    if (result != CUDA_SUCCESS) {
        vgpu_graph_free(graph);
        return result;
    }
    *out = (CUgraph)graph;
    return CUDA_SUCCESS;
}

CUresult cuGraphClone(CUgraph *out, CUgraph original)
{
    CUresult result = vgpu_able();
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_object *from = graph_of(original);
    if (!out || !from)
        return CUDA_ERROR_INVALID_VALUE;
    struct vgpu_object *graph = vgpu_graph_new(from->context);
    if (!graph)
        return CUDA_ERROR_OUT_OF_MEMORY;
    result = vgpu_rpc_GraphClone(vgpu_wire(from), vgpu_wire(graph));
    if (result != CUDA_SUCCESS) {
        vgpu_graph_free(graph);
        return result;
    }
    *out = (CUgraph)graph;
    return CUDA_SUCCESS;
}

CUresult cuGraphDestroy(CUgraph graph)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_object *object = graph_of(graph);
    if (!object)
        return CUDA_ERROR_INVALID_VALUE;
    result = vgpu_rpc_GraphDestroy(vgpu_wire(object));
    vgpu_graph_free(object);
    return result;
}

/* Fills nodes (room for *count; NULL: only asks for the number), as the driver's list calls do. */
static CUresult list_nodes(CUgraph graph, CUgraphNode *nodes, size_t *count, bool roots)
{
    CUresult result = vgpu_able();
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_object *object = graph_of(graph);
    if (!object || !count)
        return CUDA_ERROR_INVALID_VALUE;
    uint32_t got = 0, total = 1;
    while (got < total) {
        uint8_t tail[VGPU_REPLY_PAYLOAD];
        uint32_t bytes = sizeof(tail);
        result = vgpu_rpc_GraphNodes(vgpu_wire(object), got, roots, &total, tail, &bytes);
        if (result != CUDA_SUCCESS)
            return result;
        if (!nodes) {
            *count = total;
            return CUDA_SUCCESS;
        }
        uint32_t here = bytes / (uint32_t)sizeof(struct vgpu_graph_node);
        if (got < total && !here)
            return CUDA_ERROR_UNKNOWN;
        for (uint32_t i = 0; i < here; i++, got++) {
            struct vgpu_graph_node node;
            memcpy(&node, tail + i * sizeof(node), sizeof(node));
            struct vgpu_object *made = vgpu_graph_node(object, node.node, node.type);
            if (!made)
                return CUDA_ERROR_OUT_OF_MEMORY;
            if (got < *count)
                nodes[got] = (CUgraphNode)made;
        }
    }
    /* Places that stay over are cleared. */
    for (size_t i = got; i < *count; i++)
        nodes[i] = NULL;
    if (got < *count)
        *count = got;
    return CUDA_SUCCESS;
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
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_object *object = node_of(node);
    if (!object || !type)
        return CUDA_ERROR_INVALID_VALUE;
    if (object->node.type == VGPU_NODE_NONE) {
        /* Listing the graph's nodes tells all types. */
        size_t none = 0;
        CUgraphNode nothing;
        result = list_nodes((CUgraph)object->node.graph, &nothing, &none, false);
        if (result != CUDA_SUCCESS)
            return result;
        if (object->node.type == VGPU_NODE_NONE)
            return CUDA_ERROR_INVALID_VALUE;
    }
    *type = (CUgraphNodeType)object->node.type;
    return CUDA_SUCCESS;
}

/* ---- edges -------------------------------------------------------------------------------------
 */

enum filter { EVERY_EDGE, EDGES_INTO, EDGES_FROM };

/*
 * Lists the edges of a graph: both ends, or the far ends of those that touch one node. edges NULL
 * with an edge that is not an ordinary one is an error, as natively.
 */
static CUresult list_edges(struct vgpu_object *graph, enum filter filter, uint32_t number,
                           CUgraphNode *from, CUgraphNode *to, CUgraphEdgeData *edges,
                           size_t *count, bool told)
{
    uint32_t got = 0, total = 1;
    size_t found = 0;
    bool count_only = !from && !to;

    if (!count)
        return CUDA_ERROR_INVALID_VALUE;
    while (got < total) {
        uint8_t tail[VGPU_REPLY_PAYLOAD];
        uint32_t bytes = sizeof(tail);
        CUresult result = vgpu_rpc_GraphEdges(vgpu_wire(graph), got, &total, tail, &bytes);
        if (result != CUDA_SUCCESS)
            return result;
        uint32_t here = bytes / (uint32_t)sizeof(struct vgpu_graph_edge);
        if (got < total && !here)
            return CUDA_ERROR_UNKNOWN;
        for (uint32_t i = 0; i < here; i++, got++) {
            struct vgpu_graph_edge edge;
            static const uint8_t ordinary[sizeof(edge.data)];
            memcpy(&edge, tail + i * sizeof(edge), sizeof(edge));
            if ((filter == EDGES_INTO && edge.to != number) ||
                (filter == EDGES_FROM && edge.from != number))
                continue;
            if (!count_only && found < *count) {
                if (!told && memcmp(edge.data, ordinary, sizeof(ordinary)) != 0)
                    return CUDA_ERROR_LOSSY_QUERY;
                if (from)
                    from[found] = shown(graph, edge.from);
                if (to)
                    to[found] = shown(graph, edge.to);
                if (edges)
                    memcpy(&edges[found], edge.data, sizeof(edge.data));
            }
            found++;
        }
    }
    if (count_only) {
        *count = found;
        return CUDA_SUCCESS;
    }
    for (size_t i = found; i < *count; i++) {
        if (from)
            from[i] = NULL;
        if (to)
            to[i] = NULL;
    }
    if (found < *count)
        *count = found;
    return CUDA_SUCCESS;
}

static CUresult graph_edges(CUgraph graph, CUgraphNode *from, CUgraphNode *to,
                            CUgraphEdgeData *edges, size_t *count, bool told)
{
    CUresult result = vgpu_able();
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_object *object = graph_of(graph);
    if (!object || !from != !to)
        return CUDA_ERROR_INVALID_VALUE;
    return list_edges(object, EVERY_EDGE, 0, from, to, edges, count, told);
}

CUresult cuGraphGetEdges(CUgraph graph, CUgraphNode *from, CUgraphNode *to, size_t *count)
{
    return graph_edges(graph, from, to, NULL, count, false);
}

CUresult cuGraphGetEdges_v2(CUgraph graph, CUgraphNode *from, CUgraphNode *to,
                            CUgraphEdgeData *edges, size_t *count)
{
    return graph_edges(graph, from, to, edges, count, edges != NULL);
}

static CUresult neighbours(CUgraphNode node, CUgraphNode *nodes, CUgraphEdgeData *edges,
                           size_t *count, enum filter filter, bool told)
{
    CUresult result = vgpu_able();
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_object *object = node_of(node);
    if (!object)
        return CUDA_ERROR_INVALID_VALUE;
    bool into = filter == EDGES_INTO;
    return list_edges(object->node.graph, filter, object->node.number, into ? nodes : NULL,
                      into ? NULL : nodes, edges, count, told);
}

VGPU_EXPORT(cuGraphNodeGetDependencies, CUgraphNode node, CUgraphNode *nodes, size_t *count)
{
    return neighbours(node, nodes, NULL, count, EDGES_INTO, false);
}

VGPU_EXPORT(cuGraphNodeGetDependencies_v2, CUgraphNode node, CUgraphNode *nodes,
            CUgraphEdgeData *edges, size_t *count)
{
    return neighbours(node, nodes, edges, count, EDGES_INTO, edges != NULL);
}

VGPU_EXPORT(cuGraphNodeGetDependentNodes, CUgraphNode node, CUgraphNode *nodes, size_t *count)
{
    return neighbours(node, nodes, NULL, count, EDGES_FROM, false);
}

VGPU_EXPORT(cuGraphNodeGetDependentNodes_v2, CUgraphNode node, CUgraphNode *nodes,
            CUgraphEdgeData *edges, size_t *count)
{
    return neighbours(node, nodes, edges, count, EDGES_FROM, edges != NULL);
}

static CUresult change_edges(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                             const CUgraphEdgeData *edges, size_t count, bool remove)
{
    CUresult result = vgpu_able();
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_object *object = graph_of(graph);
    if (!object || (count && (!from || !to)))
        return CUDA_ERROR_INVALID_VALUE;
    struct vgpu_graph_edge *list = malloc(EDGES_MAX * sizeof(*list));
    if (!list)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (size_t done = 0; done < count && result == CUDA_SUCCESS;) {
        size_t now = count - done < EDGES_MAX ? count - done : EDGES_MAX;
        result = vgpu_graph_edges(object, from + done, edges ? edges + done : NULL, now, list);
        for (size_t i = 0; i < now && result == CUDA_SUCCESS; i++) {
            struct vgpu_object *node = node_of(to[done + i]);
            if (node && node->node.graph == object)
                list[i].to = node->node.number;
            else
                result = CUDA_ERROR_INVALID_VALUE;
        }
        if (result == CUDA_SUCCESS)
            result = vgpu_rpc_GraphEdgesChange(vgpu_wire(object), remove, list,
                                               (uint32_t)(now * sizeof(*list)));
        done += now;
    }
    free(list);
    return result;
}

CUresult cuGraphAddDependencies(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                size_t count)
{
    return change_edges(graph, from, to, NULL, count, false);
}

CUresult cuGraphAddDependencies_v2(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                   const CUgraphEdgeData *edges, size_t count)
{
    return change_edges(graph, from, to, edges, count, false);
}

CUresult cuGraphRemoveDependencies(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                   size_t count)
{
    return change_edges(graph, from, to, NULL, count, true);
}

CUresult cuGraphRemoveDependencies_v2(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                      const CUgraphEdgeData *edges, size_t count)
{
    return change_edges(graph, from, to, edges, count, true);
}

/* ---- nodes -------------------------------------------------------------------------------------
 */

/* What a call that makes or changes a node names. */
struct target {
    struct vgpu_object *graph;
    uint32_t exec;   /* wire handle, or 0 */
    uint32_t number; /* VGPU_NODE_NONE: a new one */
    struct vgpu_graph_edge *edges;
    uint32_t edge_count;
};

static CUresult target_new(struct target *t, CUgraphNode *out, CUgraph graph,
                           const CUgraphNode *dependencies, size_t count)
{
    CUresult result = vgpu_able();
    *t = (struct target){.graph = graph_of(graph), .number = VGPU_NODE_NONE};
    if (result != CUDA_SUCCESS)
        return result;
    if (!out || !t->graph || (count && !dependencies) || count > EDGES_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    if (!count)
        return CUDA_SUCCESS;
    t->edges = calloc(count, sizeof(*t->edges));
    if (!t->edges)
        return CUDA_ERROR_OUT_OF_MEMORY;
    t->edge_count = (uint32_t)count;
    result = vgpu_graph_edges(t->graph, dependencies, NULL, count, t->edges);
    if (result != CUDA_SUCCESS)
        free(t->edges);
    return result;
}

static CUresult target_exec(struct target *t, CUgraphExec exec, CUgraphNode node)
{
    struct vgpu_object *e = exec_of(exec), *n = node_of(node);
    CUresult result = vgpu_able();
    if (result != CUDA_SUCCESS)
        return result;
    if (!e || !n)
        return CUDA_ERROR_INVALID_VALUE;
    *t = (struct target){.graph = n->node.graph, .exec = vgpu_wire(e), .number = n->node.number};
    return CUDA_SUCCESS;
}

static CUresult target_node(struct target *t, CUgraphNode node)
{
    struct vgpu_object *n = node_of(node);
    CUresult result = vgpu_able();
    if (result != CUDA_SUCCESS)
        return result;
    if (!n)
        return CUDA_ERROR_INVALID_VALUE;
    *t = (struct target){.graph = n->node.graph, .number = n->node.number};
    return CUDA_SUCCESS;
}

/* Ends a call: the new node's handle, and the list of dependencies given back. */
static CUresult target_done(struct target *t, CUresult result, uint32_t made, CUgraphNodeType type,
                            CUgraphNode *out)
{
    free(t->edges);
    if (result != CUDA_SUCCESS || !out)
        return result;
    *out = (CUgraphNode)vgpu_graph_node(t->graph, made, type);
    return *out ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

/* A context that a node names, or the current one. */
static CUresult context_for(CUcontext given, struct vgpu_object **context)
{
    if (!given)
        return vgpu_current(context);
    *context = (struct vgpu_object *)given;
    return vgpu_object_is(given, VGPU_TYPE_CONTEXT) && vgpu_wire(*context)
               ? CUDA_SUCCESS
               : CUDA_ERROR_INVALID_CONTEXT;
}

static CUresult kernel_node(struct target *t, const CUDA_KERNEL_NODE_PARAMS_v2 *p, CUgraphNode *out)
{
    struct vgpu_object *context, *function = NULL;
    const struct vgpu_function_info *info;
    uint32_t made = VGPU_NODE_NONE;
    CUresult result = p ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;

    if (result == CUDA_SUCCESS) {
        function = vgpu_function_of(p->func ? p->func : (CUfunction)p->kern);
        if (!function)
            result = CUDA_ERROR_INVALID_VALUE;
        else if (function->context)
            result = context_for((CUcontext)function->context, &context);
        else
            result = context_for(p->ctx, &context);
    }
    if (result != CUDA_SUCCESS)
        return target_done(t, result, 0, CU_GRAPH_NODE_TYPE_KERNEL, NULL);

    struct vgpu_thread *thread = vgpu_thread();
    struct vgpu_object *current = thread->current;
    thread->current = context;
    uint8_t *arguments = NULL;
    result = vgpu_function_info(function, vgpu_context_device(context), &info);
    uint32_t edge_bytes = t->edge_count * (uint32_t)sizeof(*t->edges);
    if (result == CUDA_SUCCESS && info->param_bytes > ARGUMENTS_MAX - edge_bytes)
        result = CUDA_ERROR_INVALID_VALUE;
    if (result == CUDA_SUCCESS) {
        arguments = calloc(1, edge_bytes + info->param_bytes + 1);
        if (!arguments)
            result = CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (result == CUDA_SUCCESS) {
        if (edge_bytes)
            memcpy(arguments, t->edges, edge_bytes);
        result = p->kernelParams && p->extra
                     ? CUDA_ERROR_INVALID_VALUE
                     : vgpu_pack_params(info, p->kernelParams, p->extra, arguments + edge_bytes);
    }
    if (result == CUDA_SUCCESS) {
        const uint32_t grid[3] = {p->gridDimX, p->gridDimY, p->gridDimZ};
        const uint32_t block[3] = {p->blockDimX, p->blockDimY, p->blockDimZ};
        result = vgpu_rpc_GraphKernelNode(
            vgpu_wire(t->graph), t->exec, t->number, vgpu_wire(function), grid, block,
            p->sharedMemBytes, t->edge_count, arguments, edge_bytes + info->param_bytes, &made);
    }
    thread->current = current;
    free(arguments);
    return target_done(t, result, made, CU_GRAPH_NODE_TYPE_KERNEL, out);
}

/* The form of CUDA 11 has neither kernel nor context. */
static CUDA_KERNEL_NODE_PARAMS_v2 kernel_params(const CUDA_KERNEL_NODE_PARAMS_v1 *p)
{
    CUDA_KERNEL_NODE_PARAMS_v2 full = {0};
    memcpy(&full, p, sizeof(*p));
    return full;
}

CUresult cuGraphAddKernelNode_v2(CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies,
                                 size_t count, const CUDA_KERNEL_NODE_PARAMS_v2 *params)
{
    struct target t;
    CUresult result = target_new(&t, node, graph, dependencies, count);
    return result == CUDA_SUCCESS ? kernel_node(&t, params, node) : result;
}

VGPU_EXPORT(cuGraphAddKernelNode, CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies,
            size_t count, const CUDA_KERNEL_NODE_PARAMS_v1 *params)
{
    if (!params)
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_KERNEL_NODE_PARAMS_v2 full = kernel_params(params);
    return cuGraphAddKernelNode_v2(node, graph, dependencies, count, &full);
}

CUresult cuGraphKernelNodeSetParams_v2(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS_v2 *params)
{
    struct target t;
    CUresult result = target_node(&t, node);
    return result == CUDA_SUCCESS ? kernel_node(&t, params, NULL) : result;
}

VGPU_EXPORT(cuGraphKernelNodeSetParams, CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS_v1 *params)
{
    if (!params)
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_KERNEL_NODE_PARAMS_v2 full = kernel_params(params);
    return cuGraphKernelNodeSetParams_v2(node, &full);
}

CUresult cuGraphExecKernelNodeSetParams_v2(CUgraphExec exec, CUgraphNode node,
                                           const CUDA_KERNEL_NODE_PARAMS_v2 *params)
{
    struct target t;
    CUresult result = target_exec(&t, exec, node);
    return result == CUDA_SUCCESS ? kernel_node(&t, params, NULL) : result;
}

VGPU_EXPORT(cuGraphExecKernelNodeSetParams, CUgraphExec exec, CUgraphNode node,
            const CUDA_KERNEL_NODE_PARAMS_v1 *params)
{
    if (!params)
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_KERNEL_NODE_PARAMS_v2 full = kernel_params(params);
    return cuGraphExecKernelNodeSetParams_v2(exec, node, &full);
}

static CUresult copy_node(struct target *t, const CUDA_MEMCPY3D *p, CUcontext ctx, CUgraphNode *out)
{
    struct vgpu_object *context;
    struct vgpu_box b;
    uint32_t made = VGPU_NODE_NONE;
    CUresult result = p ? context_for(ctx, &context) : CUDA_ERROR_INVALID_VALUE;

    if (result == CUDA_SUCCESS)
        result = vgpu_box_of(p, &b);
    if (result == CUDA_SUCCESS && (!b.width || !b.height || !b.depth))
        result = CUDA_ERROR_INVALID_VALUE;
    if (result == CUDA_SUCCESS && b.pageable)
        result = VGPU_REFUSE("a graph's copy with memory that is not pinned");
    if (result == CUDA_SUCCESS) {
        struct vgpu_thread *thread = vgpu_thread();
        struct vgpu_object *current = thread->current;
        thread->current = context;
        result = vgpu_rpc_GraphCopyNode(vgpu_wire(t->graph), t->exec, t->number, b.to, b.from,
                                        b.to_pitch, b.from_pitch, b.to_rows, b.from_rows, b.width,
                                        b.height, b.depth, t->edges,
                                        t->edge_count * (uint32_t)sizeof(*t->edges), &made);
        thread->current = current;
    }
    return target_done(t, result, made, CU_GRAPH_NODE_TYPE_MEMCPY, out);
}

CUresult cuGraphAddMemcpyNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies,
                              size_t count, const CUDA_MEMCPY3D *params, CUcontext ctx)
{
    struct target t;
    CUresult result = target_new(&t, node, graph, dependencies, count);
    return result == CUDA_SUCCESS ? copy_node(&t, params, ctx, node) : result;
}

CUresult cuGraphMemcpyNodeSetParams(CUgraphNode node, const CUDA_MEMCPY3D *params)
{
    struct target t;
    CUresult result = target_node(&t, node);
    return result == CUDA_SUCCESS ? copy_node(&t, params, NULL, NULL) : result;
}

CUresult cuGraphExecMemcpyNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                        const CUDA_MEMCPY3D *params, CUcontext ctx)
{
    struct target t;
    CUresult result = target_exec(&t, exec, node);
    return result == CUDA_SUCCESS ? copy_node(&t, params, ctx, NULL) : result;
}

static CUresult fill_node(struct target *t, const CUDA_MEMSET_NODE_PARAMS *p, CUcontext ctx,
                          CUgraphNode *out)
{
    struct vgpu_object *context;
    enum vgpu_memory_kind kind;
    uint64_t row, span;
    uint32_t made = VGPU_NODE_NONE;
    CUresult result = p ? context_for(ctx, &context) : CUDA_ERROR_INVALID_VALUE;

    if (result == CUDA_SUCCESS &&
        ((p->elementSize != 1 && p->elementSize != 2 && p->elementSize != 4) || !p->width ||
         !p->height || __builtin_mul_overflow(p->width, p->elementSize, &row) ||
         (p->height > 1 && p->pitch < row) ||
         __builtin_mul_overflow(p->height > 1 ? p->pitch : 0, p->height - 1, &span) ||
         __builtin_add_overflow(span, row, &span)))
        result = CUDA_ERROR_INVALID_VALUE;
    if (result == CUDA_SUCCESS)
        result = vgpu_memory_check(p->dst, span, &kind);
    if (result == CUDA_SUCCESS) {
        struct vgpu_thread *thread = vgpu_thread();
        struct vgpu_object *current = thread->current;
        thread->current = context;
        result = vgpu_rpc_GraphFillNode(vgpu_wire(t->graph), t->exec, t->number, p->dst, p->pitch,
                                        p->width, p->height, p->value, p->elementSize, t->edges,
                                        t->edge_count * (uint32_t)sizeof(*t->edges), &made);
        thread->current = current;
    }
    return target_done(t, result, made, CU_GRAPH_NODE_TYPE_MEMSET, out);
}

CUresult cuGraphAddMemsetNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies,
                              size_t count, const CUDA_MEMSET_NODE_PARAMS *params, CUcontext ctx)
{
    struct target t;
    CUresult result = target_new(&t, node, graph, dependencies, count);
    return result == CUDA_SUCCESS ? fill_node(&t, params, ctx, node) : result;
}

CUresult cuGraphMemsetNodeSetParams(CUgraphNode node, const CUDA_MEMSET_NODE_PARAMS *params)
{
    struct target t;
    CUresult result = target_node(&t, node);
    return result == CUDA_SUCCESS ? fill_node(&t, params, NULL, NULL) : result;
}

CUresult cuGraphExecMemsetNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                        const CUDA_MEMSET_NODE_PARAMS *params, CUcontext ctx)
{
    struct target t;
    CUresult result = target_exec(&t, exec, node);
    return result == CUDA_SUCCESS ? fill_node(&t, params, ctx, NULL) : result;
}

CUresult cuGraphAddEmptyNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies,
                             size_t count)
{
    struct target t;
    uint32_t made = VGPU_NODE_NONE;
    CUresult result = target_new(&t, node, graph, dependencies, count);
    if (result != CUDA_SUCCESS)
        return result;
    result = vgpu_rpc_GraphEmptyNode(vgpu_wire(t.graph), t.edges,
                                     t.edge_count * (uint32_t)sizeof(*t.edges), &made);
    return target_done(&t, result, made, CU_GRAPH_NODE_TYPE_EMPTY, node);
}

static CUresult child_node(struct target *t, CUgraph child, CUgraphNode *out)
{
    struct vgpu_object *object = graph_of(child);
    uint32_t made = VGPU_NODE_NONE;
    CUresult result = CUDA_ERROR_INVALID_VALUE;
    if (object)
        result =
            vgpu_rpc_GraphChildNode(vgpu_wire(t->graph), t->exec, t->number, vgpu_wire(object),
                                    t->edges, t->edge_count * (uint32_t)sizeof(*t->edges), &made);
    return target_done(t, result, made, CU_GRAPH_NODE_TYPE_GRAPH, out);
}

CUresult cuGraphAddChildGraphNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies,
                                  size_t count, CUgraph child)
{
    struct target t;
    CUresult result = target_new(&t, node, graph, dependencies, count);
    return result == CUDA_SUCCESS ? child_node(&t, child, node) : result;
}

CUresult cuGraphExecChildGraphNodeSetParams(CUgraphExec exec, CUgraphNode node, CUgraph child)
{
    struct target t;
    CUresult result = target_exec(&t, exec, node);
    return result == CUDA_SUCCESS ? child_node(&t, child, NULL) : result;
}

static CUresult event_node(struct target *t, CUevent event, bool wait, CUgraphNode *out)
{
    struct vgpu_object *object = (struct vgpu_object *)event;
    uint32_t made = VGPU_NODE_NONE;
    CUresult result = CUDA_ERROR_INVALID_VALUE;
    if (vgpu_object_is(object, VGPU_TYPE_EVENT)) {
        if (!wait) {
            /* From here on only the host knows whether it is complete. */
            atomic_store(&object->event.external, true);
            uint64_t never = 0;
            atomic_compare_exchange_strong(&object->event.recorded, &never,
                                           atomic_fetch_add(&vgpu.next_record, 1) + 1);
        }
        result = vgpu_rpc_GraphEventNode(vgpu_wire(t->graph), t->exec, t->number, vgpu_wire(object),
                                         wait, t->edges,
                                         t->edge_count * (uint32_t)sizeof(*t->edges), &made);
    }
    return target_done(t, result, made,
                       wait ? CU_GRAPH_NODE_TYPE_WAIT_EVENT : CU_GRAPH_NODE_TYPE_EVENT_RECORD, out);
}

CUresult cuGraphAddEventRecordNode(CUgraphNode *node, CUgraph graph,
                                   const CUgraphNode *dependencies, size_t count, CUevent event)
{
    struct target t;
    CUresult result = target_new(&t, node, graph, dependencies, count);
    return result == CUDA_SUCCESS ? event_node(&t, event, false, node) : result;
}

CUresult cuGraphAddEventWaitNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies,
                                 size_t count, CUevent event)
{
    struct target t;
    CUresult result = target_new(&t, node, graph, dependencies, count);
    return result == CUDA_SUCCESS ? event_node(&t, event, true, node) : result;
}

CUresult cuGraphExecEventRecordNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent event)
{
    struct target t;
    CUresult result = target_exec(&t, exec, node);
    return result == CUDA_SUCCESS ? event_node(&t, event, false, NULL) : result;
}

CUresult cuGraphExecEventWaitNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent event)
{
    struct target t;
    CUresult result = target_exec(&t, exec, node);
    return result == CUDA_SUCCESS ? event_node(&t, event, true, NULL) : result;
}

CUresult cuGraphDestroyNode(CUgraphNode node)
{
    struct vgpu_object *object = node_of(node);
    CUresult result = vgpu_able();
    if (result != CUDA_SUCCESS)
        return result;
    if (!object)
        return CUDA_ERROR_INVALID_VALUE;
    struct vgpu_object *graph = object->node.graph;
    result = vgpu_rpc_GraphDestroyNode(vgpu_wire(graph), object->node.number);
    if (result != CUDA_SUCCESS)
        return result;
    pthread_mutex_lock(&graph->graph->lock);
    graph->graph->nodes[object->node.number] = NULL;
    pthread_mutex_unlock(&graph->graph->lock);
    vgpu_object_free(object);
    return CUDA_SUCCESS;
}

CUresult cuGraphNodeFindInClone(CUgraphNode *node, CUgraphNode original, CUgraph clone)
{
    struct vgpu_object *from = node_of(original), *graph = graph_of(clone);
    uint32_t found = VGPU_NODE_NONE;
    CUresult result = vgpu_able();
    if (result != CUDA_SUCCESS)
        return result;
    if (!node || !from || !graph)
        return CUDA_ERROR_INVALID_VALUE;
    result = vgpu_rpc_GraphFindInClone(vgpu_wire(from->node.graph), vgpu_wire(graph),
                                       from->node.number, &found);
    if (result == CUDA_SUCCESS)
        *node = shown(graph, found);
    return result;
}

static CUresult enabled(CUgraphExec exec, CUgraphNode node, unsigned *out, unsigned value)
{
    struct vgpu_object *e = exec_of(exec), *n = node_of(node);
    CUresult result = vgpu_able();
    if (result != CUDA_SUCCESS)
        return result;
    if (!e || !n)
        return CUDA_ERROR_INVALID_VALUE;
    return out ? vgpu_rpc_GraphNodeGetEnabled(vgpu_wire(e), vgpu_wire(n->node.graph),
                                              n->node.number, out)
               : vgpu_rpc_GraphNodeSetEnabled(vgpu_wire(e), vgpu_wire(n->node.graph),
                                              n->node.number, value);
}

CUresult cuGraphNodeSetEnabled(CUgraphExec exec, CUgraphNode node, unsigned int value)
{
    return enabled(exec, node, NULL, value);
}

CUresult cuGraphNodeGetEnabled(CUgraphExec exec, CUgraphNode node, unsigned int *value)
{
    return value ? enabled(exec, node, value, 0) : CUDA_ERROR_INVALID_VALUE;
}

/* ---- graphs that can be launched ---------------------------------------------------------------
 */

static CUresult launch(CUgraphExec exec, CUstream stream, bool upload)
{
    struct vgpu_object *object, *context;
    CUresult result = vgpu_able();
    if (unlikely(result != CUDA_SUCCESS))
        return result;
    if (unlikely(!exec_of(exec)))
        return CUDA_ERROR_INVALID_VALUE;
    /* As natively, the stream decides where it runs; it need not be of the current context. */
    result = vgpu_stream_find(stream, &object, &context);
    if (unlikely(result != CUDA_SUCCESS))
        return result;
    uint32_t wire = object ? vgpu_wire(object) : VGPU_STREAM_DEFAULT;
    struct vgpu_thread *thread = vgpu_thread();
    struct vgpu_object *current = thread->current;
    thread->current = context;
    result = upload ? vgpu_rpc_GraphUpload(vgpu_wire(exec_of(exec)), wire)
                    : vgpu_rpc_GraphLaunch(vgpu_wire(exec_of(exec)), wire);
    thread->current = current;
    return result;
}

static CUresult instantiate(CUgraphExec *out, CUgraph graph, uint64_t flags, CUstream stream,
                            uint32_t *failure, uint32_t *failed_node)
{
    const uint64_t known =
        CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH | CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD |
        CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH | CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY;
    CUresult result = vgpu_able();
    struct vgpu_object *object = graph_of(graph);
    uint32_t status = CUDA_SUCCESS;

    *failure = CUDA_GRAPH_INSTANTIATE_ERROR;
    *failed_node = VGPU_NODE_NONE;
    if (result != CUDA_SUCCESS)
        return result;
    if (!out || !object || flags & ~known)
        return CUDA_ERROR_INVALID_VALUE;
    if (flags & CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH)
        return VGPU_REFUSE("instantiating a graph for launches from the device");
    struct vgpu_object *exec = vgpu_object_new(VGPU_TYPE_GRAPH_EXEC, object->context);
    if (!exec)
        return CUDA_ERROR_OUT_OF_MEMORY;
    exec->exec.flags = flags;
    result = vgpu_rpc_GraphInstantiate(vgpu_wire(object), vgpu_wire(exec),
                                       flags & ~(uint64_t)CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD,
                                       &status, failure, failed_node);
    if (result == CUDA_SUCCESS)
        result = (CUresult)status;
    if (result != CUDA_SUCCESS) {
        vgpu_object_free(exec);
        return result;
    }
    *out = (CUgraphExec)exec;
    return flags & CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD ? launch(*out, stream, true) : CUDA_SUCCESS;
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph, unsigned long long flags)
{
    uint32_t failure, node;
    /* Uploading needs a stream, which only cuGraphInstantiateWithParams names. */
    if (flags & CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD)
        return CUDA_ERROR_INVALID_VALUE;
    return instantiate(exec, graph, flags, NULL, &failure, &node);
}

static CUresult instantiate_old(CUgraphExec *exec, CUgraph graph, CUgraphNode *error_node,
                                char *log, size_t log_bytes)
{
    uint32_t failure, node;
    CUresult result = instantiate(exec, graph, 0, NULL, &failure, &node);
    if (log && log_bytes)
        log[0] = '\0';
    if (error_node)
        *error_node =
            result == CUDA_SUCCESS || !graph_of(graph) ? NULL : shown(graph_of(graph), node);
    return result;
}

VGPU_EXPORT(cuGraphInstantiate, CUgraphExec *exec, CUgraph graph, CUgraphNode *error_node,
            char *log, size_t log_bytes)
{
    return instantiate_old(exec, graph, error_node, log, log_bytes);
}

VGPU_EXPORT(cuGraphInstantiate_v2, CUgraphExec *exec, CUgraph graph, CUgraphNode *error_node,
            char *log, size_t log_bytes)
{
    return instantiate_old(exec, graph, error_node, log, log_bytes);
}

static CUresult instantiate_params(CUgraphExec *exec, CUgraph graph,
                                   CUDA_GRAPH_INSTANTIATE_PARAMS *params, bool own_stream)
{
    uint32_t failure, node;
    if (!params)
        return CUDA_ERROR_INVALID_VALUE;
    CUstream stream = own_stream ? VGPU_PTSZ(params->hUploadStream) : params->hUploadStream;
    CUresult result = instantiate(exec, graph, params->flags, stream, &failure, &node);
    params->result_out = (CUgraphInstantiateResult)failure;
    params->hErrNode_out =
        result == CUDA_SUCCESS || !graph_of(graph) ? NULL : shown(graph_of(graph), node);
    return result;
}

CUresult cuGraphInstantiateWithParams(CUgraphExec *exec, CUgraph graph,
                                      CUDA_GRAPH_INSTANTIATE_PARAMS *params)
{
    return instantiate_params(exec, graph, params, false);
}

VGPU_EXPORT(cuGraphInstantiateWithParams_ptsz, CUgraphExec *exec, CUgraph graph,
            CUDA_GRAPH_INSTANTIATE_PARAMS *params)
{
    return instantiate_params(exec, graph, params, true);
}

CUresult cuGraphExecGetFlags(CUgraphExec exec, cuuint64_t *flags)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!exec_of(exec) || !flags)
        return CUDA_ERROR_INVALID_VALUE;
    *flags = exec_of(exec)->exec.flags;
    return CUDA_SUCCESS;
}

CUresult cuGraphExecDestroy(CUgraphExec exec)
{
    CUresult result = vgpu_ready();
    if (result != CUDA_SUCCESS)
        return result;
    struct vgpu_object *object = exec_of(exec);
    if (!object)
        return CUDA_ERROR_INVALID_VALUE;
    result = vgpu_rpc_GraphExecDestroy(vgpu_wire(object));
    vgpu_object_free(object);
    return result;
}

CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream)
{
    return launch(exec, stream, false);
}

VGPU_EXPORT(cuGraphLaunch_ptsz, CUgraphExec exec, CUstream stream)
{
    return launch(exec, VGPU_PTSZ(stream), false);
}

CUresult cuGraphUpload(CUgraphExec exec, CUstream stream)
{
    return launch(exec, stream, true);
}

VGPU_EXPORT(cuGraphUpload_ptsz, CUgraphExec exec, CUstream stream)
{
    return launch(exec, VGPU_PTSZ(stream), true);
}

CUresult cuGraphExecUpdate_v2(CUgraphExec exec, CUgraph graph, CUgraphExecUpdateResultInfo *info)
{
    CUresult result = vgpu_able();
    struct vgpu_object *e = exec_of(exec), *g = graph_of(graph);
    uint32_t status = CUDA_SUCCESS, update = 0, node = VGPU_NODE_NONE, from = VGPU_NODE_NONE;
    if (result != CUDA_SUCCESS)
        return result;
    if (!e || !g || !info)
        return CUDA_ERROR_INVALID_VALUE;
    result = vgpu_rpc_GraphExecUpdate(vgpu_wire(e), vgpu_wire(g), &status, &update, &node, &from);
    if (result != CUDA_SUCCESS)
        return result;
    info->result = (CUgraphExecUpdateResult)update;
    info->errorNode = shown(g, node);
    info->errorFromNode = shown(g, from);
    return (CUresult)status;
}

VGPU_EXPORT(cuGraphExecUpdate, CUgraphExec exec, CUgraph graph, CUgraphNode *error_node,
            CUgraphExecUpdateResult *update)
{
    CUgraphExecUpdateResultInfo info = {0};
    CUresult result = cuGraphExecUpdate_v2(exec, graph, &info);
    if (error_node)
        *error_node = info.errorNode;
    if (update)
        *update = info.result;
    return result;
}
