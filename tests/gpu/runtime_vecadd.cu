/* SPDX-License-Identifier: Apache-2.0 */
/* runtime_vecadd - the CUDA runtime's start-up and its commonest calls, built by nvcc as a user would */
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <cuda_runtime.h>

#define CHECK(call)                                                                                \
    do {                                                                                           \
        cudaError_t result_ = (call);                                                              \
        if (result_ != cudaSuccess) {                                                              \
            fprintf(stderr, "runtime_vecadd: %s: %s\n", #call, cudaGetErrorString(result_));       \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

__constant__ float scale;
__device__ unsigned int launched;

__global__ void add(const float *a, const float *b, float *c, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i == 0)
        atomicAdd(&launched, 1u);
    if (i < n)
        c[i] = scale * (a[i] + b[i]);
}

int main()
{
    const int n = 1 << 20;
    const float two = 2.0f;
    std::vector<float> a(n), b(n), c(n);
    float *da, *db, *dc, ms = 0;
    cudaDeviceProp properties;
    cudaStream_t stream;
    cudaEvent_t begin, end;
    unsigned int count = 0;
    size_t free_bytes, total_bytes;

    CHECK(cudaGetDeviceProperties(&properties, 0));
    CHECK(cudaMemGetInfo(&free_bytes, &total_bytes));
    for (int i = 0; i < n; i++) {
        a[i] = (float)i;
        b[i] = (float)(3 * i % 1000);
    }
    CHECK(cudaStreamCreate(&stream));
    CHECK(cudaEventCreate(&begin));
    CHECK(cudaEventCreate(&end));
    CHECK(cudaMalloc(&da, n * sizeof(float)));
    CHECK(cudaMalloc(&db, n * sizeof(float)));
    CHECK(cudaMalloc(&dc, n * sizeof(float)));
    CHECK(cudaMemcpyToSymbol(scale, &two, sizeof(two)));
    CHECK(cudaMemcpy(da, a.data(), n * sizeof(float), cudaMemcpyHostToDevice));
    CHECK(cudaMemcpyAsync(db, b.data(), n * sizeof(float), cudaMemcpyHostToDevice, stream));
    CHECK(cudaEventRecord(begin, stream));
    for (int i = 0; i < 10; i++)
        add<<<(n + 255) / 256, 256, 0, stream>>>(da, db, dc, n);
    CHECK(cudaGetLastError());
    CHECK(cudaEventRecord(end, stream));
    CHECK(cudaStreamSynchronize(stream));
    CHECK(cudaEventElapsedTime(&ms, begin, end));
    CHECK(cudaMemcpy(c.data(), dc, n * sizeof(float), cudaMemcpyDeviceToHost));
    CHECK(cudaMemcpyFromSymbol(&count, launched, sizeof(count)));
    for (int i = 0; i < n; i++) {
        if (c[i] != two * (a[i] + b[i])) {
            fprintf(stderr, "runtime_vecadd: element %d is %f, expected %f\n", i, c[i], two * (a[i] + b[i]));
            return 1;
        }
    }
    if (count != 10) {
        fprintf(stderr, "runtime_vecadd: %u launches counted, expected 10\n", count);
        return 1;
    }
    CHECK(cudaFree(da));
    CHECK(cudaFree(db));
    CHECK(cudaFree(dc));
    CHECK(cudaDeviceReset());
    printf("runtime_vecadd: ok (%s, %d SMs, 10 launches in %.3f ms)\n", properties.name,
           properties.multiProcessorCount, ms);
    return 0;
}
