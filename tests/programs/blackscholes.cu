/* SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

/* The normal distribution's integral by formula 26.2.17 of Abramowitz and Stegun; error below 1e-7.
 */
INLINE float normal(float d)
{
    float x = d < 0.0f ? -d : d;
    float k = reciprocal(1.0f + 0.2316419f * x);
    float poly =
        k * (0.31938153f +
             k * (-0.356563782f + k * (1.781477937f + k * (-1.821255978f + k * 1.330274429f))));
    float tail = 0.39894228f * exponential(-0.5f * x * x) * poly;

    return d < 0.0f ? tail : 1.0f - tail;
}

/* European call and put prices; price and strike in money, time in years. */
KERNEL blackscholes(const float *price, const float *strike, const float *years, float *call,
                    float *put, float rate, float volatility, u32 n)
{
    for (u32 i = thread_x(); i < n; i += stride_x()) {
        float s = price[i], x = strike[i], t = years[i];
        float sigma = volatility * root(t);
        float d1 = (logarithm(s * reciprocal(x)) + (rate + 0.5f * volatility * volatility) * t) *
                   reciprocal(sigma);
        float d2 = d1 - sigma;
        float discounted = x * exponential(-rate * t);
        float c = s * normal(d1) - discounted * normal(d2);

        call[i] = c;
        put[i] = c + discounted - s;
    }
}
