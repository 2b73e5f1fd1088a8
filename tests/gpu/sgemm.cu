/* SPDX-License-Identifier: Apache-2.0 */
/* sgemm - a cuBLAS product, compared with a double-precision reference on the CPU */
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <cublas_v2.h>
#include <cuda_runtime.h>

static void check(bool good, const char *what, int code)
{
    if (!good) {
        fprintf(stderr, "sgemm: %s failed with %d\n", what, code);
        exit(1);
    }
}
#define CUDA(call) check((call) == cudaSuccess, #call, (int)cudaGetLastError())
#define BLAS(call)                                                                                 \
    do {                                                                                           \
        cublasStatus_t status_ = (call);                                                           \
        check(status_ == CUBLAS_STATUS_SUCCESS, #call, (int)status_);                              \
    } while (0)

int main()
{
    const int m = 300, n = 260, k = 220;
    std::vector<float> a(m * k), b(k * n), c(m * n);
    float *da, *db, *dc, one = 1, zero = 0;
    double difference = 0, size = 0;
    cublasHandle_t handle;

    srand(7);
    for (float &x : a)
        x = (float)rand() / RAND_MAX - 0.5f;
    for (float &x : b)
        x = (float)rand() / RAND_MAX - 0.5f;
    CUDA(cudaMalloc(&da, a.size() * sizeof(float)));
    CUDA(cudaMalloc(&db, b.size() * sizeof(float)));
    CUDA(cudaMalloc(&dc, c.size() * sizeof(float)));
    CUDA(cudaMemcpy(da, a.data(), a.size() * sizeof(float), cudaMemcpyHostToDevice));
    CUDA(cudaMemcpy(db, b.data(), b.size() * sizeof(float), cudaMemcpyHostToDevice));
    CUDA(cudaMemset(dc, 0xff, c.size() * sizeof(float)));
    BLAS(cublasCreate(&handle));
    for (int round = 0; round < 5; round++)
        BLAS(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &one, da, m, db, k, &zero, dc, m));
    CUDA(cudaDeviceSynchronize());
    CUDA(cudaMemcpy(c.data(), dc, c.size() * sizeof(float), cudaMemcpyDeviceToHost));
    for (int j = 0; j < n; j++) {
        for (int i = 0; i < m; i++) {
            double sum = 0;
            for (int l = 0; l < k; l++)
                sum += (double)a[l * m + i] * b[j * k + l];
            difference += (c[j * m + i] - sum) * (c[j * m + i] - sum);
            size += sum * sum;
        }
    }
    BLAS(cublasDestroy(handle));
    double relative = std::sqrt(difference / size);
    if (!(relative < 1e-4)) {
        fprintf(stderr, "sgemm: relative error %g\n", relative);
        return 1;
    }
    printf("sgemm: ok (%dx%dx%d, relative error %.1e)\n", m, n, k, relative);
    return 0;
}
