/* attach_plain_c.c: a training loop of somebody's own, a two-layer perceptron in plain loops, with probes on it. The lines that pitot
   adds end in "// pitot 0" (parameters and gradients), "// pitot 1" (what the layers saw) and "// pitot 2" (a gradient when pitot asks
   for one); without them it is the plain loop, which trains to the same bits. Prints the loss now and then; the log is in
   runs/plain_c. */

#include "pitot.h" // pitot 0

#include <math.h>
#include <stdio.h>

enum { N = 64, DIN = 8, HID = 16, STEPS = 300 };

static float x[N][DIN], y[N], h[N][HID], f[N], dh[N][HID], df[N];
static float W1[HID][DIN], b1[HID], W2[HID], b2[1], dW1[HID][DIN], db1[HID], dW2[HID], db2[1];

static float noise(unsigned *state) {
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 8388608.0f - 1;
}

static void make_data(void) {
    unsigned s = 1;
    for (int n = 0; n < N; n++) {
        for (int j = 0; j < DIN; j++) x[n][j] = noise(&s);
        y[n] = x[n][0] * x[n][1] + 0.5f * x[n][2];
    }
    for (int i = 0; i < HID; i++) {
        for (int j = 0; j < DIN; j++) W1[i][j] = 0.6f * noise(&s);
        W2[i] = 0.6f * noise(&s);
    }
}

static double forward(void) {
    double loss = 0;
    for (int n = 0; n < N; n++) {
        f[n] = b2[0];
        for (int i = 0; i < HID; i++) {
            float z = b1[i];
            for (int j = 0; j < DIN; j++) z += W1[i][j] * x[n][j];
            h[n][i] = tanhf(z);
            f[n] += W2[i] * h[n][i];
        }
        loss += (double)((f[n] - y[n]) * (f[n] - y[n])) / N;
    }
    return loss;
}

static void backward(void) {
    db2[0] = 0;
    for (int i = 0; i < HID; i++) {
        dW2[i] = db1[i] = 0;
        for (int j = 0; j < DIN; j++) dW1[i][j] = 0;
    }
    for (int n = 0; n < N; n++) {
        df[n] = 2 * (f[n] - y[n]) / N;
        db2[0] += df[n];
        for (int i = 0; i < HID; i++) {
            dW2[i] += df[n] * h[n][i];
            dh[n][i] = df[n] * W2[i] * (1 - h[n][i] * h[n][i]);
            db1[i] += dh[n][i];
            for (int j = 0; j < DIN; j++) dW1[i][j] += dh[n][i] * x[n][j];
        }
    }
}

static void update(float lr) {
    b2[0] -= lr * db2[0];
    for (int i = 0; i < HID; i++) {
        W2[i] -= lr * dW2[i];
        b1[i] -= lr * db1[i];
        for (int j = 0; j < DIN; j++) W1[i][j] -= lr * dW1[i][j];
    }
}

static void gradient(void *user, pitot_call *call) {                         // pitot 2
    (void)user, call->loss = forward(), backward(), call->status = PITOT_OK; // pitot 2
} // pitot 2

int main(int argc, char **argv) {
    const char *folder = argc > 1 ? argv[1] : "runs/plain_c";
    make_data();
    pitot_run *run = pitot_open(folder, &(pitot_config){ sizeof(pitot_config), .probes = argc > 2 ? argv[2] : "all" }); // pitot 0
    pitot_set_callbacks(run, &(pitot_callbacks){ sizeof(pitot_callbacks), .grad = gradient });                          // pitot 2
    int32_t w1 = pitot_add_param(run, &(pitot_param){ sizeof(pitot_param), "W1", W1, dW1, .shape = { HID, DIN } });     // pitot 0
    int32_t c1 = pitot_add_param(run, &(pitot_param){ sizeof(pitot_param), "b1", b1, db1, .shape = { HID } });          // pitot 0
    int32_t w2 = pitot_add_param(run, &(pitot_param){ sizeof(pitot_param), "W2", W2, dW2, .shape = { 1, HID } });       // pitot 0
    int32_t c2 = pitot_add_param(run, &(pitot_param){ sizeof(pitot_param), "b2", b2, db2, .shape = { 1 } });            // pitot 0
    for (int step = 0; step < STEPS; step++) {
        pitot_begin(run, step); // pitot 0
        double loss = forward();
        pitot_after_forward(run, &(pitot_batch){ sizeof(pitot_batch), .n = N, .loss = loss }); // pitot 0
        backward();
        pitot_add_capture(run, &(pitot_capture){ sizeof(pitot_capture), PITOT_LINEAR, 0, w1, c1, .A = x, .G = dh }); // pitot 1
        pitot_add_capture(run, &(pitot_capture){ sizeof(pitot_capture), PITOT_LINEAR, 0, w2, c2, .A = h, .G = df }); // pitot 1
        pitot_after_backward(run);                                                                                   // pitot 0
        update(0.2f);
        pitot_after_update(run, 0.2); // pitot 0
        if (step % 100 == 0) printf("step %d  loss %.9g\n", step, loss);
    }
    pitot_close(run, PITOT_DONE); // pitot 0
    printf("end     %s  loss %.9g\n", folder, forward());
    return 0;
}
