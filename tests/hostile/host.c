/* host.c: see host.h. A linear classifier with softmax, so that its Hessian can be written down. */

#include "host.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

enum { BIAS = HOST_IN * HOST_OUT, STILL = BIAS + HOST_OUT, PLACE = HOST_VALUES * sizeof(float) + 8 };

struct host {
    pitot_run *run;
    unsigned char *data, *grad; /* at 1 to 3 bytes behind a multiple of 4 */
    int32_t id[3];
    float x[HOST_SAMPLES][HOST_IN], g[HOST_SAMPLES][HOST_OUT], losses[HOST_SAMPLES], output[HOST_SAMPLES][HOST_OUT];
    int32_t classes[HOST_SAMPLES];
    double loss;
    int how, odd;
    const char *comma;
    int64_t called;
};

static void softmax(const host *h, const float *w, int n, float *p) {
    float sum = 0;
    for (int k = 0; k < HOST_OUT; k++) {
        p[k] = w[BIAS + k];
        for (int i = 0; i < HOST_IN; i++) p[k] += w[k * HOST_IN + i] * h->x[n][i];
        sum += expf(p[k]);
    }
    for (int k = 0; k < HOST_OUT; k++) p[k] = expf(p[k]) / sum;
}

static double pass(host *h, float *gradient) {
    float w[HOST_VALUES], p[HOST_OUT];
    double loss = 0;
    memcpy(w, h->data, sizeof w);
    memset(gradient, 0, sizeof w);
    for (int n = 0; n < HOST_SAMPLES; n++) {
        softmax(h, w, n, p);
        h->losses[n] = -logf(p[h->classes[n]]);
        loss += (double)h->losses[n] / HOST_SAMPLES;
        for (int k = 0; k < HOST_OUT; k++) {
            h->output[n][k] = logf(p[k]);
            h->g[n][k] = (p[k] - (float)(k == h->classes[n])) / HOST_SAMPLES;
            gradient[BIAS + k] += h->g[n][k];
            for (int i = 0; i < HOST_IN; i++) gradient[k * HOST_IN + i] += h->g[n][k] * h->x[n][i];
        }
    }
    return loss;
}

/* Bits that -Ofast would not compute: a NaN, an infinity; and subnormal numbers in the tensor that nothing depends on. */
static void put_bits(unsigned char *place, int i, uint32_t bits) {
    memcpy(place + (size_t)i * sizeof bits, &bits, sizeof bits);
}

static void put_subnormal(unsigned char *place) {
    for (int i = 0; i < HOST_STILL; i++) put_bits(place, STILL + i, 0x80000001u + (uint32_t)i * 1000);
}

static void spoil(const host *h) {
    put_subnormal(h->grad);
    if (h->how & HOST_NAN) put_bits(h->grad, 4, 0x7fc01234);
    if (h->how & HOST_INFINITE) put_bits(h->grad, 7, 0xff800000);
}

/* What a careless callback leaves behind. */
static void disturb(const host *h) {
    if (h->how & HOST_COMMA && h->comma) setlocale(LC_ALL, h->comma);
#if defined(__x86_64__)
    if (h->how & HOST_ROUNDS) _mm_setcsr(_mm_getcsr() ^ 0x6000);
#endif
}

static void grad(void *user, pitot_call *call) {
    host *h = user;
    float g[HOST_VALUES];
    h->called++;
    call->loss = pass(h, g);
    memcpy(h->grad, g, sizeof g);
    put_subnormal(h->grad);
    disturb(h);
    if (!(h->how & HOST_FAILS)) call->status = PITOT_OK;
}

static void hvp(void *user, pitot_call *call) {
    host *h = user;
    float w[HOST_VALUES], p[HOST_OUT];
    h->called++;
    memcpy(w, h->data, sizeof w);
    memset(call->out, 0, sizeof w);
    for (int n = 0; n < HOST_SAMPLES; n++) {
        float d[HOST_OUT], along = 0;
        softmax(h, w, n, p);
        for (int k = 0; k < HOST_OUT; k++) {
            d[k] = call->v[BIAS + k];
            for (int i = 0; i < HOST_IN; i++) d[k] += call->v[k * HOST_IN + i] * h->x[n][i];
            along += p[k] * d[k];
        }
        for (int k = 0; k < HOST_OUT; k++) {
            float u = p[k] * (d[k] - along) / HOST_SAMPLES;
            call->out[BIAS + k] += u;
            for (int i = 0; i < HOST_IN; i++) call->out[k * HOST_IN + i] += u * h->x[n][i];
        }
    }
    disturb(h);
    if (!(h->how & HOST_FAILS)) call->status = PITOT_OK;
}

/* The tensors lie elsewhere from now on; the old place is given back. */
static int move(host *h) {
    unsigned char *data = malloc(PLACE), *gradient = malloc(PLACE);
    if (!data || !gradient) return free(data), free(gradient), 0;
    int odd = 1 + (h->odd + 1) % 3;
    if (h->data) memcpy(data + odd, h->data, HOST_VALUES * sizeof(float)), free(h->data - h->odd), free(h->grad - h->odd);
    h->data = data + odd;
    h->grad = gradient + odd;
    h->odd = odd;
    for (int i = 0; i < 3; i++) {
        size_t at = (i == 2 ? STILL : i ? BIAS : 0) * sizeof(float);
        pitot_bind_param(h->run, h->id[i], h->data + at, h->grad + at);
    }
    return 1;
}

host *host_new(pitot_run *run, int exact) {
    host *h = calloc(1, sizeof *h);
    if (!h) return NULL;
    if (!move(h)) return free(h), NULL;
    h->run = run;
    for (int n = 0; n < HOST_SAMPLES; n++) {
        h->classes[n] = n % HOST_OUT;
        for (int i = 0; i < HOST_IN; i++) h->x[n][i] = sinf(1.9f * (float)n + 0.7f * (float)i);
    }
    for (int i = 0; i < HOST_VALUES; i++) {
        float w = 0.3f * cosf((float)i);
        memcpy(h->data + (size_t)i * sizeof w, &w, sizeof w);
    }
    pitot_param weight = { .struct_size = sizeof weight, .name = "weight", .shape = { HOST_OUT, HOST_IN } };
    pitot_param bias = { .struct_size = sizeof bias, .name = "bias", .shape = { HOST_OUT } };
    pitot_param still = { .struct_size = sizeof still, .name = "still", .shape = { HOST_STILL } };
    put_subnormal(h->data);
    h->id[0] = pitot_add_param(run, &weight);
    h->id[1] = pitot_add_param(run, &bias);
    h->id[2] = pitot_add_param(run, &still);
    pitot_callbacks c = { .struct_size = sizeof c, .user = h };
    if (exact) c.hvp = hvp;
    else c.grad = grad;
    pitot_set_callbacks(run, &c);
    return h;
}

void host_free(host *h) {
    free(h->data - h->odd);
    free(h->grad - h->odd);
    free(h);
}

uint32_t host_step(host *h, int64_t step, int how, const char *comma) {
    float g[HOST_VALUES], w[STILL];
    h->how = how;
    h->comma = comma;
    if (!move(h)) return 0;
    uint32_t due = pitot_begin(h->run, step);
    h->loss = pass(h, g);
    pitot_batch b = { .struct_size = sizeof b, .n = HOST_SAMPLES, .loss = h->loss, .losses = h->losses };
    pitot_after_forward(h->run, &b);
    memcpy(h->grad, g, sizeof g);
    if (due & PITOT_DUE_CAPTURES) {
        pitot_capture c = {
            .struct_size = sizeof c, .kind = PITOT_LINEAR, .weight = h->id[0], .bias = h->id[1], .A = h->x, .G = h->g
        };
        pitot_add_capture(h->run, &c);
    }
    spoil(h);
    pitot_after_backward(h->run);
    memcpy(w, h->data, sizeof w);
    for (int i = 0; i < STILL; i++) w[i] -= 0.1f * g[i];
    memcpy(h->data, w, sizeof w);
    pitot_after_update(h->run, 0.1);
    return due;
}

void host_look(const host *h, float *weights, float *gradient, double *loss) {
    memcpy(weights, h->data, HOST_VALUES * sizeof *weights);
    memcpy(gradient, h->grad, HOST_VALUES * sizeof *gradient);
    *loss = h->loss;
}

int64_t host_called(const host *h) {
    return h->called;
}
