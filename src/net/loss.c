/* loss.c: cross_entropy, mse, bce_with_logits: means as PyTorch defines them. Exponentials and sums in double. */

#include "net/net.h"

#include <math.h>
#include <string.h>

/* l_n = log sum_c exp(f_c) - f_y;  df_c = (softmax_c - [c = y]) / N */
static void cross_entropy(const pitot_net_batch *b, int64_t c, const pitot_real *f, pitot_real *losses, pitot_real *df) {
    for (int64_t k = 0; k < b->n; k++, f += c) {
        double most = (double)f[0], sum = 0;
        for (int64_t i = 1; i < c; i++)
            if ((double)f[i] > most) most = (double)f[i];
        for (int64_t i = 0; i < c; i++) sum += exp((double)f[i] - most);
        int32_t y = b->classes[k];
        losses[k] = (pitot_real)(log(sum) + most - (double)f[y]);
        if (!df) continue;
        for (int64_t i = 0; i < c; i++) df[k * c + i] = (pitot_real)((exp((double)f[i] - most) / sum - (i == y)) / (double)b->n);
    }
}

/* p = softmax(f): dft = (p ft - p (p . ft)) / N */
static void cross_entropy_curvature(const pitot_net_batch *b, int64_t c, const pitot_real *f, const pitot_real *ft,
                                    pitot_real *dft) {
    for (int64_t k = 0; k < b->n; k++, f += c, ft += c, dft += c) {
        double most = (double)f[0], sum = 0, dot = 0;
        for (int64_t i = 1; i < c; i++)
            if ((double)f[i] > most) most = (double)f[i];
        for (int64_t i = 0; i < c; i++) {
            double e = exp((double)f[i] - most);
            sum += e;
            dot += e * (double)ft[i];
        }
        for (int64_t i = 0; i < c; i++)
            dft[i] = (pitot_real)(exp((double)f[i] - most) / sum * ((double)ft[i] - dot / sum) / (double)b->n);
    }
}

/* l_n = mean_c (f_c - t_c)^2;  df_c = 2 (f_c - t_c) / (N C) */
static void mse(const pitot_net_batch *b, int64_t c, const pitot_real *f, pitot_real *losses, pitot_real *df) {
    const pitot_real *t = b->targets;
    for (int64_t k = 0; k < b->n; k++, f += c, t += c) {
        double sum = 0;
        for (int64_t i = 0; i < c; i++) {
            double d = (double)f[i] - (double)t[i];
            sum += d * d;
            if (df) df[k * c + i] = (pitot_real)(2 * d / (double)(b->n * c));
        }
        losses[k] = (pitot_real)(sum / (double)c);
    }
}

/* dft_c = 2 ft_c / (N C) */
static void mse_curvature(const pitot_net_batch *b, int64_t c, const pitot_real *f, const pitot_real *ft, pitot_real *dft) {
    (void)f;
    for (int64_t i = 0; i < b->n * c; i++) dft[i] = (pitot_real)(2 * (double)ft[i] / (double)(b->n * c));
}

/* l_n = mean_c max(f,0) - f t + log(1 + exp(-|f|));  df_c = (sigmoid(f) - t) / (N C) */
static void bce_with_logits(const pitot_net_batch *b, int64_t c, const pitot_real *f, pitot_real *losses, pitot_real *df) {
    const pitot_real *t = b->targets;
    for (int64_t k = 0; k < b->n; k++, f += c, t += c) {
        double sum = 0;
        for (int64_t i = 0; i < c; i++) {
            double z = (double)f[i], e = exp(-fabs(z));
            sum += (z > 0 ? z : 0) - z * (double)t[i] + log1p(e);
            double sigmoid = z >= 0 ? 1 / (1 + e) : e / (1 + e);
            if (df) df[k * c + i] = (pitot_real)((sigmoid - (double)t[i]) / (double)(b->n * c));
        }
        losses[k] = (pitot_real)(sum / (double)c);
    }
}

/* s = sigmoid(f): dft_c = s (1 - s) ft_c / (N C) */
static void bce_curvature(const pitot_net_batch *b, int64_t c, const pitot_real *f, const pitot_real *ft, pitot_real *dft) {
    for (int64_t i = 0; i < b->n * c; i++) {
        double e = exp(-fabs((double)f[i]));
        dft[i] = (pitot_real)(e / ((1 + e) * (1 + e)) * (double)ft[i] / (double)(b->n * c));
    }
}

static const loss_kind table[] = {
    { "cross_entropy", 1, cross_entropy, cross_entropy_curvature, 1, root_cross_entropy, diagonal_cross_entropy,
      draw_cross_entropy },
    { "mse", 0, mse, mse_curvature, 0, root_mse, diagonal_mse, draw_mse },
    { "bce_with_logits", 0, bce_with_logits, bce_curvature, 0, root_bce, diagonal_bce, draw_bce },
};
const char *const loss_names[] = { "cross_entropy", "mse", "bce_with_logits", NULL };

const loss_kind *loss_find(const char *name) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0) return &table[i];
    return NULL;
}

int32_t loss_check(const pitot_net *net, pitot_error *error) {
    const shape *out = &net->node[net->n_nodes - 1].out;
    char text[128];
    if (net->loss->classes && out->n != 1)
        return pitot_fail(error, PITOT_EMISMATCH,
                          "loss: %s needs one axis of class scores, the last layer gives %s; end with flatten and linear",
                          net->loss->name, shape_text(out, text));
    return PITOT_OK;
}

int loss_classes_good(const int32_t *classes, int64_t n, int64_t c) {
    for (int64_t k = 0; k < n; k++)
        if (classes[k] < 0 || classes[k] >= c) return 0;
    return 1;
}
