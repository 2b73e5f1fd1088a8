// SPDX-License-Identifier: GPL-2.0
/*
 * Arena memory: allocation, mapping, and its description for the host
 */
#include <linux/moduleparam.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "vgpu_drv.h"

/* The run table, and the ring protocol, count in pages of 4 KiB. */
static_assert(PAGE_SHIFT == VGPU_PAGE_SHIFT);
static_assert(sizeof(struct vgpu_run) == 16);

static unsigned int arena_max_mb = 256;
module_param(arena_max_mb, uint, 0644);
MODULE_PARM_DESC(arena_max_mb, "largest arena of one process, MiB");

static unsigned int total_max_mb;
module_param(total_max_mb, uint, 0644);
MODULE_PARM_DESC(total_max_mb,
		 "all arenas together, MiB (0: half of the memory)");

u64 vgpu_arena_max(void)
{
	u64 bytes = (u64)READ_ONCE(arena_max_mb) << 20;

	bytes = min_t(u64, bytes, (u64)VGPU_PAGES_MAX << PAGE_SHIFT);
	return round_down(bytes, VGPU_CHUNK_BYTES);
}

static long vgpu_total_max_pages(void)
{
	unsigned int mb = READ_ONCE(total_max_mb);

	return mb ? (long)mb << (20 - PAGE_SHIFT) : totalram_pages() / 2;
}

static int vgpu_arena_append(struct vgpu_arena *arena, struct page *page,
			     u32 first, u32 order)
{
	if (arena->chunk_count == arena->chunk_room) {
		u32 room = min(arena->chunk_room * 2, (u32)VGPU_RUNS_MAX);
		struct vgpu_chunk *chunks;

		/* Each chunk may need a run of its own. */
		if (arena->chunk_count == room)
			return -ENOMEM;
		chunks = kvmalloc_array(room, sizeof(*chunks),
					GFP_KERNEL_ACCOUNT);
		if (!chunks)
			return -ENOMEM;
		memcpy(chunks, arena->chunks,
		       arena->chunk_count * sizeof(*chunks));
		kvfree(arena->chunks);
		arena->chunks = chunks;
		arena->chunk_room = room;
	}
	arena->chunks[arena->chunk_count++] = (struct vgpu_chunk){
		.page = page,
		.first = first,
		.order = order,
	};
	return 0;
}

static void vgpu_arena_release(struct kref *ref)
{
	struct vgpu_arena *arena = container_of(ref, struct vgpu_arena, ref);
	u32 i;

	/*
	 * Whoever still holds a page, direct I/O for one, keeps its chunk from
	 * being reused: the count is the compound page's.
	 */
	for (i = 0; i < arena->chunk_count; i++) {
		__free_pages(arena->chunks[i].page, arena->chunks[i].order);
		cond_resched();
	}
	atomic_long_sub(arena->pages, &arena->dev->pages);
	kvfree(arena->chunks);
	kfree(arena);
}

void vgpu_arena_get(struct vgpu_arena *arena)
{
	kref_get(&arena->ref);
}

void vgpu_arena_put(struct vgpu_arena *arena)
{
	kref_put(&arena->ref, vgpu_arena_release);
}

/* Large chunks keep the run table short; small ones get us going anyway. */
static int vgpu_arena_populate(struct vgpu_arena *arena)
{
	u32 order = VGPU_CHUNK_ORDER;
	u32 done = 0;
	int rc;

	while (done < arena->pages) {
		gfp_t gfp =
			GFP_USER | __GFP_ACCOUNT | __GFP_ZERO | __GFP_NOWARN;
		struct page *page;

		if (fatal_signal_pending(current))
			return -EINTR;
		/* Neither compaction nor the OOM killer should run for us. */
		if (order)
			gfp |= __GFP_COMP | __GFP_NORETRY;
		else
			gfp |= __GFP_RETRY_MAYFAIL;
		page = alloc_pages(gfp, order);
		if (!page) {
			if (!order)
				return -ENOMEM;
			order--;
			continue;
		}
		rc = vgpu_arena_append(arena, page, done, order);
		if (rc) {
			__free_pages(page, order);
			return rc;
		}
		done += 1u << order;
		cond_resched();
	}
	return 0;
}

struct vgpu_arena *vgpu_arena_create(struct vgpu_device *dev, u64 bytes)
{
	struct vgpu_arena *arena;
	u32 pages;
	int rc;

	if (!bytes || bytes % VGPU_CHUNK_BYTES)
		return ERR_PTR(-EINVAL);
	if (bytes > vgpu_arena_max())
		return ERR_PTR(-ENOMEM);
	pages = bytes >> PAGE_SHIFT;

	arena = kzalloc(sizeof(*arena), GFP_KERNEL_ACCOUNT);
	if (!arena)
		return ERR_PTR(-ENOMEM);
	arena->chunk_room = pages >> VGPU_CHUNK_ORDER;
	arena->chunks = kvmalloc_array(
		arena->chunk_room, sizeof(*arena->chunks), GFP_KERNEL_ACCOUNT);
	if (!arena->chunks) {
		kfree(arena);
		return ERR_PTR(-ENOMEM);
	}
	kref_init(&arena->ref);
	arena->dev = dev;
	arena->pages = pages;
	if (atomic_long_add_return(pages, &dev->pages) > vgpu_total_max_pages())
		rc = -ENOMEM;
	else
		rc = vgpu_arena_populate(arena);
	if (rc) {
		vgpu_arena_put(arena);
		return ERR_PTR(rc);
	}
	return arena;
}

int vgpu_arena_map(struct vgpu_arena *arena, struct vm_area_struct *vma)
{
	unsigned long address = vma->vm_start;
	u32 i, j;
	int rc;

	for (i = 0; i < arena->chunk_count; i++) {
		const struct vgpu_chunk *chunk = &arena->chunks[i];

		for (j = 0; j < 1u << chunk->order; j++) {
			rc = vm_insert_page(vma, address, chunk->page + j);
			if (rc)
				return rc;
			address += PAGE_SIZE;
		}
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/* Pages are mapped at once by mmap(); madvise() and mremap() may undo that. */
vm_fault_t vgpu_arena_fault(struct vgpu_arena *arena, struct vm_fault *vmf)
{
	u32 low = 0, high = arena->chunk_count;
	const struct vgpu_chunk *chunk;
	int rc;

	if (vmf->pgoff >= arena->pages)
		return VM_FAULT_SIGBUS;
	while (high - low > 1) {
		u32 middle = low + (high - low) / 2;

		if (arena->chunks[middle].first <= vmf->pgoff)
			low = middle;
		else
			high = middle;
	}
	chunk = &arena->chunks[low];
	rc = vm_insert_page(vmf->vma, vmf->address & PAGE_MASK,
			    chunk->page + (vmf->pgoff - chunk->first));
	if (rc == -ENOMEM)
		return VM_FAULT_OOM;
	if (rc && rc != -EBUSY) /* EBUSY: another thread was faster */
		return VM_FAULT_SIGBUS;
	return VM_FAULT_NOPAGE;
}

u32 vgpu_arena_runs(const struct vgpu_arena *arena)
{
	return arena->chunk_count;
}

void vgpu_arena_fill(const struct vgpu_arena *arena, struct vgpu_run *table)
{
	u32 i;

	for (i = 0; i < arena->chunk_count; i++) {
		table[i].address = page_to_phys(arena->chunks[i].page);
		table[i].count = 1u << arena->chunks[i].order;
		table[i].reserved = 0;
	}
}
