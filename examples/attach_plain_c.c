/* attach_plain_c.c: a training loop of somebody's own, a two-layer perceptron in plain loops, with probes on it. The lines that pitot
   adds end in "// pitot". Prints the loss now and then; the log is in runs/plain_c. */

#include "pitot.h" // pitot

#include <math.h>
#include <stdio.h>

enum { N = 64, DIN = 8, HID = 16, STEPS = 300 };

static float x[N][DIN], y[N], h[N][HID], f[N], dh[N][HID];
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
        float df = 2 * (f[n] - y[n]) / N;
        db2[0] += df;
        for (int i = 0; i < HID; i++) {
            dW2[i] += df * h[n][i];
            dh[n][i] = df * W2[i] * (1 - h[n][i] * h[n][i]);
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

int main(int argc, char **argv) {
    make_data();
    pitot_run *run = pitot_open(argc > 1 ? argv[1] : "runs/plain_c", NULL);                            // pitot
    pitot_add_param(run, &(pitot_param){ sizeof(pitot_param), "W1", W1, dW1, .shape = { HID, DIN } }); // pitot
    pitot_add_param(run, &(pitot_param){ sizeof(pitot_param), "b1", b1, db1, .shape = { HID } });      // pitot
    pitot_add_param(run, &(pitot_param){ sizeof(pitot_param), "W2", W2, dW2, .shape = { HID } });      // pitot
    pitot_add_param(run, &(pitot_param){ sizeof(pitot_param), "b2", b2, db2, .shape = { 1 } });        // pitot
    for (int step = 0; step < STEPS; step++) {
        pitot_begin(run, step); // pitot
        double loss = forward();
        pitot_after_forward(run, &(pitot_batch){ sizeof(pitot_batch), .n = N, .loss = loss }); // pitot
        backward();
        pitot_after_backward(run); // pitot
        update(0.2f);
        pitot_after_update(run, 0.2); // pitot
        if (step % 100 == 0) printf("step %d  loss %.6f\n", step, loss);
    }
    if (*pitot_last_error(run)) fprintf(stderr, "pitot: %s\n", pitot_last_error(run));
    pitot_close(run, PITOT_DONE); // pitot
    return 0;
}
