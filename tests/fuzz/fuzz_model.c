/* Model files and options that are wrong. Good model files with every op in them are cut short, have bytes changed, words exchanged and
   halves put together, thousands of times from fixed seeds. To read one gives a net, which must then work if it is small, or a message
   that names the file; all memory comes back. Every option of every optimizer, op and probe is set from random text.
   PITOT_FUZZ_SCALE < 1: fewer rounds; PITOT_FUZZ_SEED: others. */

#include "base/alloc.h"
#include "base/random.h"
#include "pitot/net.h"
#include "pitot/optim.h"
#include "pitot/probe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROOM = 4096, ROUNDS = 40000, OPTION_ROUNDS = 250 };

static const char *const models[] = {
    "{\"name\": \"pools\", \"input\": [2, 9, 8], \"loss\": \"cross_entropy\", \"layers\": [\n"
    " {\"op\": \"conv2d\", \"name\": \"c\", \"out_channels\": 4, \"kernel\": [3, 2], \"stride\": 1, \"padding\": [1, 0], "
    "\"groups\": 2},\n"
    " {\"op\": \"leaky_relu\", \"negative_slope\": 0.2}, {\"op\": \"max_pool2d\", \"kernel\": 2, \"ceil_mode\": true},\n"
    " {\"op\": \"avg_pool2d\", \"kernel\": 2, \"stride\": 1, \"padding\": 1, \"count_include_pad\": false}, {\"op\": "
    "\"global_avg_pool2d\"},\n"
    " {\"op\": \"linear\", \"out_features\": 3, \"bias\": false}]}",
    "{\"input\": [6], \"loss\": \"mse\", \"layers\": [{\"op\": \"linear\", \"name\": \"a\", \"out_features\": 5}, {\"op\": "
    "\"tanh\"},\n"
    " {\"op\": \"linear\", \"name\": \"b\", \"inputs\": [\"input\"], \"out_features\": 5}, {\"op\": \"sigmoid\", \"name\": "
    "\"s\"},\n"
    " {\"op\": \"add\", \"inputs\": [\"1\", \"s\"]}, {\"op\": \"gelu\", \"approximate\": \"tanh\"}, {\"op\": \"softplus\", "
    "\"beta\": 2,\n"
    " \"threshold\": 10}, {\"op\": \"dropout\", \"p\": 0.25}]}",
    "{\"name\": \"rest\", \"input\": [1, 4, 4], \"loss\": \"bce_with_logits\", \"layers\": [{\"op\": \"conv2d\",\n"
    " \"out_channels\": 2, \"kernel\": 2, \"dilation\": 2, \"bias\": true}, {\"op\": \"elu\", \"alpha\": 0.5}, {\"op\": "
    "\"selu\"},\n"
    " {\"op\": \"flatten\"}, {\"op\": \"silu\"},\n"
    " {\"op\": \"relu\"}, {\"op\": \"linear\", \"out_features\": 2}]}",
};
enum { MODELS = sizeof models / sizeof *models };

static char file[64];
static int64_t nets, refused, worked;

static uint64_t seed = 2025;

static uint64_t draw(uint64_t round, uint64_t index, uint64_t below) {
    return random_bits(seed, 91, round, index) % below;
}

static _Noreturn void failed(const char *what, uint64_t round, const char *text) {
    printf("fuzz_model: FAILED in round %llu: %s: %s\n", (unsigned long long)round, what, text);
    exit(1);
}

/* ---- damage ---- */

static size_t cut(char *text, size_t n, uint64_t round) {
    (void)text;
    return (size_t)draw(round, 1, n + 1);
}

static size_t change_bytes(char *text, size_t n, uint64_t round) {
    char *at = &text[draw(round, 2, n)];
    if (draw(round, 3, 2)) *at = (char)(*at ^ (char)(1 << draw(round, 4, 8)));
    else *at = "0123456789-.,:[]{}\"eE \n"[draw(round, 4, 23)];
    return n;
}

/* Word number k: letters, digits and what numbers are made of, or one other character. */
static size_t word_at(const char *text, size_t n, uint64_t k, size_t *begin) {
    size_t at = 0, length = 0;
    for (;; at += length) {
        at += strspn(text + at, " \n");
        if (at >= n) at = 0, at += strspn(text, " \n");
        length = strspn(text + at, "abcdefghijklmnopqrstuvwxyz_0123456789.-");
        if (!length) length = 1;
        if (k-- == 0) return *begin = at, length;
    }
}

static size_t exchange_words(char *text, size_t n, uint64_t round) {
    char copy[2 * ROOM];
    size_t a, b, na = word_at(text, n, draw(round, 1, 120), &a), nb = word_at(text, n, draw(round, 2, 120), &b);
    if (a > b) {
        size_t t = a;
        a = b, b = t, t = na, na = nb, nb = t;
    }
    if (a + na > b) return n;
    int length = snprintf(copy, sizeof copy, "%.*s%.*s%.*s%.*s%s", (int)a, text, (int)nb, text + b, (int)(b - a - na),
                          text + a + na, (int)na, text + a, text + b + nb);
    memcpy(text, copy, (size_t)length + 1);
    return (size_t)length;
}

/* A word becomes something that is often forgotten about. */
static size_t replace_word(char *text, size_t n, uint64_t round) {
    static const char *const words[] = {
        "0",    "-1",  "1e9",       "2147483647", "9223372036854775807", "1e308", "1e-300", "null",    "true",        "[]",    "{}",
        "\"\"", "0.5", "[1, 2, 3]", "[1,1]",      "\"input\"",           "add",   "conv2d", "flatten", "\"\\u0000\"", "65536", "3"
    };
    char copy[2 * ROOM];
    size_t a, na = word_at(text, n, draw(round, 1, 120), &a);
    int length =
        snprintf(copy, sizeof copy, "%.*s%s%s", (int)a, text, words[draw(round, 2, sizeof words / sizeof *words)], text + a + na);
    memcpy(text, copy, (size_t)length + 1);
    return (size_t)length;
}

static size_t splice(char *text, size_t n, uint64_t round) {
    const char *other = models[draw(round, 1, MODELS)];
    size_t m = strlen(other), from = (size_t)draw(round, 2, m), to = (size_t)draw(round, 3, n);
    memcpy(text + to, other + from, m - from + 1);
    return to + m - from;
}

static const struct {
    const char *name;
    size_t (*damage)(char *text, size_t n, uint64_t round);
    int again; /* 1: sometimes twice */
} targets[] = { { "cut", cut, 0 },
                { "bytes", change_bytes, 1 },
                { "exchanged", exchange_words, 1 },
                { "replaced", replace_word, 1 },
                { "spliced", splice, 0 } };

/* ---- what must hold ---- */

static void write_file(const char *text, size_t n, uint64_t round) {
    FILE *out = fopen(file, "wb");
    if (!out || fwrite(text, 1, n, out) != n || fclose(out)) failed("the file cannot be written", round, file);
}

static int is_small(const pitot_net *net) {
    pitot_net_facts f = { .struct_size = sizeof f };
    pitot_net_get_facts(net, &f);
    return f.parameters < 1000000 && f.step_flops < 1e8 && f.input < 100000 && f.output < 100000;
}

/* Two samples forward and backward; what may not go is said, what goes must not touch memory that is not its own. */
static void run_net(pitot_net *net, uint64_t round) {
    pitot_error error = { 0 };
    pitot_net_facts f = { .struct_size = sizeof f };
    double loss = 0;
    pitot_net_get_facts(net, &f);
    if (pitot_net_prepare(net, 2, 1, &error)) {
        if (!error.text[0]) failed("prepare refuses without a message", round, "");
        return;
    }
    pitot_net_init(net, round);
    pitot_real *x = mem_alloc(2 * f.input, sizeof *x), *targets_of = mem_alloc(2 * f.output, sizeof *x);
    int32_t classes[2] = { 0, (int32_t)(f.output - 1) };
    if (!x || !targets_of) failed("no memory", round, "");
    for (int64_t i = 0; i < 2 * f.input; i++) x[i] = (pitot_real)sin((double)i);
    pitot_net_batch b = {
        .struct_size = sizeof b, .n = 2, .x = x, .classes = classes, .targets = targets_of, .training = 1, .seed = round
    };
    if (pitot_net_forward(net, &b, &loss) == PITOT_OK && pitot_net_backward(net) == PITOT_OK) worked++;
    mem_free(x);
    mem_free(targets_of);
}

static void read_model(uint64_t round, const char *text) {
    pitot_error error = { 0 };
    int64_t blocks = mem_count().blocks;
    pitot_net *net = pitot_net_read(file, &error);
    if (net && error.status) failed("a net and an error", round, text);
    if (!net && (error.status >= 0 || strncmp(error.text, file, strlen(file))))
        failed("the message does not name the file", round, error.text);
    if (net && is_small(net)) run_net(net, round);
    nets += net != NULL;
    refused += net == NULL;
    pitot_net_free(net);
    if (mem_count().blocks != blocks) failed("memory is left behind", round, text);
}

static void fuzz_models(double scale) {
    static char text[2 * ROOM];
    for (int i = 0; i < MODELS; i++) { /* undamaged, they work */
        int64_t before = worked;
        write_file(models[i], strlen(models[i]), 0);
        read_model(0, models[i]);
        if (worked != before + 1) failed("a good model does not work", 0, models[i]);
    }
    for (size_t t = 0; t < sizeof targets / sizeof *targets; t++) {
        uint64_t rounds = (uint64_t)ceil(scale * ROUNDS / 5);
        nets = refused = worked = 0;
        for (uint64_t i = 0; i < rounds; i++) {
            uint64_t round = 1000000 * (t + 1) + i;
            const char *model = models[draw(round, 0, MODELS)];
            size_t n = strlen(model);
            memcpy(text, model, n + 1);
            n = targets[t].damage(text, n, round);
            for (int more = targets[t].again; more > 0 && draw(round, 50 + (uint64_t)more, 3) == 0 && strlen(text); more--)
                n = targets[t].damage(text, strnlen(text, n), round + 500000);
            write_file(text, n, round);
            read_model(round, text);
        }
        printf("fuzz_model: %s: %lld nets (%lld worked), %lld refused\n", targets[t].name, (long long)nets, (long long)worked,
               (long long)refused);
    }
}

/* ---- options ---- */

static void random_text(uint64_t round, char out[64]) {
    static const char *const texts[] = { "",
                                         "0",
                                         "1",
                                         "-1",
                                         "0.5",
                                         "1e-8",
                                         "nan",
                                         "inf",
                                         "-inf",
                                         "1e400",
                                         "true",
                                         "false",
                                         "0.9,0.999",
                                         "1,2",
                                         "2",
                                         "3,3",
                                         "none",
                                         "tanh",
                                         "1,",
                                         ",1",
                                         "(1,2)",
                                         "[3]",
                                         "1,2,3,4,5,6,7,8,9,10",
                                         "9007199254740993",
                                         "-0",
                                         "0x10",
                                         " 1 ",
                                         "1 2" };
    enum { TEXTS = sizeof texts / sizeof *texts };
    if (draw(round, 1, 3)) {
        snprintf(out, 64, "%s", texts[draw(round, 2, TEXTS)]);
        return;
    }
    size_t n = (size_t)draw(round, 3, 40);
    for (size_t i = 0; i < n; i++) out[i] = (char)(1 + draw(round, 10 + i, 255));
    out[n] = 0;
}

static int64_t taken, turned_down;

/* One option set from random text: taken, or a message and a negative status. */
static void judge(int32_t status, const pitot_error *error, uint64_t round, const char *text) {
    if (status != error->status || (status && !error->text[0]) || status > 0) failed("an option without a message", round, text);
    taken += status == PITOT_OK;
    turned_down += status != PITOT_OK;
}

static void fuzz_optimizer(const pitot_optimizer *m, uint64_t round) {
    static pitot_real x[70], g[70];
    const pitot_real *at = g;
    char text[64];
    pitot_error error = { 0 };
    pitot_optim *optim = pitot_optim_new(m->name, &error);
    if (!optim) failed("an optimizer of the registry", round, error.text);
    for (const pitot_option *o = m->options; o && o->name; o++) {
        error.status = 0;
        random_text(round * 100 + (uint64_t)(o - m->options), text);
        judge(pitot_optim_set(optim, o->name, text, &error), &error, round, text);
    }
    for (int i = 0; i < 70; i++) x[i] = (pitot_real)(i - 30), g[i] = (pitot_real)sin(i);
    pitot_optim_tensor tensor = { "x", 70, x, &at, { 70 } };
    error.status = 0;
    if (pitot_optim_prepare(optim, &tensor, 1, 1, &error) == PITOT_OK)
        for (int i = 0; i < 3; i++) pitot_optim_step(optim);
    pitot_optim_free(optim);
}

static void fuzz_op(const pitot_op_info *op, uint64_t round) {
    static const int64_t shapes[3][PITOT_DIMS] = { { 6 }, { 2, 5, 4 }, { 1 } };
    char text[64], attributes[600] = "";
    size_t used = 0;
    pitot_error error = { 0 };
    pitot_net *net = pitot_net_new("n", shapes[draw(round, 9, 3)], "mse", &error);
    for (const pitot_option *o = op->attributes; o && o->name; o++) {
        if (draw(round, 20 + (uint64_t)(o - op->attributes), 3) == 0) continue;
        random_text(round * 100 + (uint64_t)(o - op->attributes), text);
        used += (size_t)snprintf(attributes + used, sizeof attributes - used, "%s%s=%s", used ? ", " : "", o->name, text);
    }
    error.status = 0;
    judge(pitot_net_add(net, op->name, NULL, NULL, attributes, &error), &error, round, attributes);
    if (error.status == 0 && is_small(net)) run_net(net, round);
    pitot_net_free(net);
}

static void fuzz_probe(const pitot_probe *p, uint64_t round) {
    char text[64];
    void *options = mem_alloc(1, p->options_size + 1);
    pitot_options_default(p->options, options);
    for (const pitot_option *o = p->options; o && o->name; o++) {
        pitot_error error = { 0 };
        random_text(round * 100 + (uint64_t)(o - p->options), text);
        judge(pitot_options_set(p->options, options, p->name, o->name, text, &error), &error, round, text);
    }
    mem_free(options);
}

static void fuzz_options(double scale) {
    int64_t blocks = mem_count().blocks;
    uint64_t rounds = (uint64_t)ceil(scale * OPTION_ROUNDS), which = 0;
    pitot_op_info op;
    for (uint64_t round = 0; round < rounds; round++) {
        for (const pitot_optimizer *const *m = pitot_optimizers(); *m; m++) fuzz_optimizer(*m, 1000000 * ++which + round);
        for (int64_t i = 0; pitot_op_get(i, &op); i++) fuzz_op(&op, 1000000 * ++which + round);
        for (const pitot_probe *const *p = pitot_probes(); *p; p++) fuzz_probe(*p, 1000000 * ++which + round);
    }
    if (mem_count().blocks != blocks) failed("memory is left behind", 0, "options");
    printf("fuzz_model: options: %lld taken, %lld turned down\n", (long long)taken, (long long)turned_down);
}

int main(void) {
    const char *text = getenv("PITOT_FUZZ_SCALE"), *other = getenv("PITOT_FUZZ_SEED");
    double scale = text ? fmin(1, atof(text)) : 1;
    if (other) seed += strtoull(other, NULL, 10);
    snprintf(file, sizeof file, "%s/pitot-model-%ld.json", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm", (long)getpid());
    fuzz_models(scale);
    fuzz_options(scale);
    unlink(file);
    return 0;
}
