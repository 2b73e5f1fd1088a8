/* SPDX-License-Identifier: Apache-2.0 */
/* blackscholes - option prices with approximate exponentials, logarithms and roots */
#include "program.h"

#include <math.h>
#include <stdlib.h>

extern const char blackscholes_ptx[];

static const float rate = 0.02f, volatility = 0.30f;
static float *price, *strike, *years, *call, *put;
static double *expected_call;
static CUdeviceptr device_price, device_strike, device_years, device_call, device_put;
static CUfunction fn;

static double normal(double d)
{
    return 0.5 * erfc(-d * M_SQRT1_2);
}

static void setup(void)
{
    size_t n = program.size, bytes = n * sizeof(float);
    uint64_t seed = 7;

    price = host_alloc(bytes);
    strike = host_alloc(bytes);
    years = host_alloc(bytes);
    call = host_alloc(bytes);
    put = host_alloc(bytes);
    expected_call = host_alloc(n * sizeof(*expected_call));
    for (size_t i = 0; i < n; i++) {
        double sigma, d1;

        price[i] = random_float(&seed, 5, 30);
        strike[i] = random_float(&seed, 1, 100);
        years[i] = random_float(&seed, 0.25f, 10);
        sigma = volatility * sqrt(years[i]);
        d1 = (log((double)price[i] / strike[i]) +
              (rate + 0.5 * volatility * volatility) * years[i]) /
             sigma;
        expected_call[i] =
            price[i] * normal(d1) - strike[i] * exp(-(double)rate * years[i]) * normal(d1 - sigma);
    }
    device_price = device_copy_of(price, bytes);
    device_strike = device_copy_of(strike, bytes);
    device_years = device_copy_of(years, bytes);
    device_call = device_alloc(bytes);
    device_put = device_alloc(bytes);
    fn = kernel("blackscholes");
    details("options=%zu", n);
}

static void job(void)
{
    size_t bytes = program.size * sizeof(float);
    unsigned int n = (unsigned int)program.size;
    float r = rate, v = volatility;

    CHECK(cuMemsetD8(device_call, 0xff, bytes));
    CHECK(cuMemsetD8(device_put, 0xff, bytes));
    launch_1d(fn, NULL, (program.size + 1) / 2, 128,
              PARAMS(&device_price, &device_strike, &device_years, &device_call, &device_put, &r,
                     &v, &n));
    CHECK(cuMemcpyDtoH(call, device_call, bytes));
    CHECK(cuMemcpyDtoH(put, device_put, bytes));
}

static void check(void)
{
    for (size_t i = 0; i < program.size; i++) {
        double parity = strike[i] * exp(-(double)rate * years[i]) - price[i];

        /* Sums of terms up to 100, each with a few units of 2^-22 relative error. */
        if (!(fabs(call[i] - expected_call[i]) <= 2e-4))
            fail("call[%zu] is %.9g, expected %.9g", i, call[i], expected_call[i]);
        if (!(fabs(put[i] - (expected_call[i] + parity)) <= 4e-4))
            fail("put[%zu] is %.9g, expected %.9g", i, put[i], expected_call[i] + parity);
    }
}

static void teardown(void)
{
    CHECK(cuMemFree(device_price));
    CHECK(cuMemFree(device_strike));
    CHECK(cuMemFree(device_years));
    CHECK(cuMemFree(device_call));
    CHECK(cuMemFree(device_put));
    free(price);
    free(strike);
    free(years);
    free(call);
    free(put);
    free(expected_call);
}

int main(int argc, char **argv)
{
    static const struct program p = {
        .name = "blackscholes",
        .usage = "--size: options",
        .ptx = blackscholes_ptx,
        .default_size = 200000,
        .setup = setup,
        .job = job,
        .check = check,
        .teardown = teardown,
    };

    return program_main(&p, argc, argv);
}
