// SPDX-License-Identifier: Apache-2.0
// Kernels for the engine's tests, compiled by clang at -O0 and -O2.
#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __shared__ __attribute__((shared))
#define __constant__ __attribute__((constant))

extern "C" __device__ int vprintf(const char *, void *);

static __device__ int index()
{
    return __nvvm_read_ptx_sreg_ctaid_x() * __nvvm_read_ptx_sreg_ntid_x() + __nvvm_read_ptx_sreg_tid_x();
}

extern "C" __global__ void vector_add(float *c, const float *a, const float *b, int n)
{
    int i = index();

    if (i < n)
        c[i] = a[i] + b[i];
}

extern "C" __global__ void collatz(int *out)
{
    unsigned v = index() + 1;
    int steps = 0;

    while (v != 1) {
        if (v & 1)
            v = 3 * v + 1;
        else
            v /= 2;
        steps++;
    }
    out[index()] = steps;
}

extern "C" __global__ void reduce(const int *in, int *out)
{
    __shared__ int s[256];
    int t = __nvvm_read_ptx_sreg_tid_x();

    s[t] = in[index()];
    __nvvm_bar_sync(0);
    for (int half = 128; half; half /= 2) {
        if (t < half)
            s[t] += s[t + half];
        __nvvm_bar_sync(0);
    }
    if (t == 0)
        out[__nvvm_read_ptx_sreg_ctaid_x()] = s[0];
}

__device__ __attribute__((noinline)) int fib(int n)
{
    if (n < 2)
        return n;
    return fib(n - 1) + fib(n - 2);
}

__device__ __attribute__((noinline)) int square(int n)
{
    return n * n;
}

struct pair {
    int a;
    double b;
    char pad[5];
};

__device__ __attribute__((noinline)) pair shift(pair p, int by)
{
    p.a += by;
    p.b *= 2;
    return p;
}

typedef int (*unary)(int);
__device__ unary table_of_functions[2] = {square, fib};

extern "C" __global__ void calls(int *out)
{
    int i = index(), n = i % 12;
    pair p = {i, (double)i, {0}};

    p = shift(p, 3);
    out[i] = fib(n) + p.a + (int)p.b + table_of_functions[i & 1](n);
}

extern "C" __global__ void hello()
{
    struct {
        int a, b;
        double c;
        const char *d;
        unsigned e;
        long long f;
    } args = {index(), (int)__nvvm_read_ptx_sreg_ntid_x(), index() + 1.5, "abc", 16u + index(),
              5000000000ll + index()};

    vprintf("thread %d of %d: %.2f %s %#x %lld %%\n", &args);
}

__constant__ int table[8] = {3, 1, 4, 1, 5, 9, 2, 6};

extern "C" __global__ void tables(int *out)
{
    int local[8], i = index(), s = 0;

    for (int j = 0; j < 8; j++)
        local[j] = table[j] * (j + i);
    for (int j = 0; j <= i % 8; j++)
        s += local[j];
    out[i] = s;
}
