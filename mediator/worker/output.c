/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output.c - what kernels print
 *
 * The driver library prints to the standard output of its process, which is this one. A memory file
 * takes it there (a pipe could fill up and block the driver), and the guest library fetches it and
 * prints it in the program.
 */
#include "worker.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mediator/common/log.h"

#define OUTPUT_MAX (64 << 20) /* bytes a guest may leave unfetched */

int worker_output_init(struct vgpu_worker *worker)
{
    int fd = memfd_create("kernel-output", MFD_CLOEXEC);

    worker->output_fd = -1;
    if (fd < 0)
        return -1;
    /* Appending, so that a file cut to nothing starts at its beginning again. */
    if (fcntl(fd, F_SETFL, O_APPEND) != 0 || dup2(fd, STDOUT_FILENO) < 0) {
        close(fd);
        return -1;
    }
    worker->output_fd = fd;
    return 0;
}

void worker_output_scan(struct vgpu_worker *worker, const struct vgpu_blob *blob)
{
    static const uint8_t fat[4] = {0x50, 0xed, 0x55, 0xba}; /* may hold compressed code */

    if (memmem(blob->data, blob->size, "vprintf", 7) ||
        (blob->size >= sizeof(fat) && !memcmp(blob->data, fat, sizeof(fat))))
        worker->prints = true;
}

void worker_output_publish(struct vgpu_worker *worker)
{
    struct stat file;

    if (worker->output_fd < 0)
        return;
    fflush(stdout);
    if (fstat(worker->output_fd, &file) != 0 || (uint64_t)file.st_size <= worker->output_read)
        return;
    if (file.st_size > OUTPUT_MAX) {
        vgpu_log(VGPU_LOG_WARN, "kernel_output_dropped", LOG_U("bytes", file.st_size));
        if (ftruncate(worker->output_fd, 0) == 0)
            worker->output_read = 0;
        return;
    }
    atomic_store(&worker->host.view.shared->print_pending, 1);
}

CUresult worker_do_PrintRead(struct vgpu_worker *worker, const struct worker_args_PrintRead *args,
                             struct vgpu_rsp_PrintRead *out, struct vgpu_answer *answer)
{
    size_t room = sizeof(answer->payload) - answer->size;
    struct stat file;

    if (worker->output_fd < 0 || fstat(worker->output_fd, &file) != 0)
        return CUDA_SUCCESS;
    ssize_t got = pread(worker->output_fd, answer->payload + answer->size, room,
                        (off_t)worker->output_read);
    if (got > 0) {
        answer->size += (uint32_t)got;
        worker->output_read += (uint64_t)got;
    }
    if (got <= 0 || worker->output_read >= (uint64_t)file.st_size) {
        if (ftruncate(worker->output_fd, 0) == 0)
            worker->output_read = 0;
        return CUDA_SUCCESS;
    }
    out->left = (uint32_t)((uint64_t)file.st_size - worker->output_read);
    return CUDA_SUCCESS;
}
