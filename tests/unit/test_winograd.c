/* Convolutions by minimal filtering against the same ones unfolded, which other tests hold against direct loops: outputs, gradients and all
   products, for kernels, borders, channels and numbers of samples of all kinds; and what is left to plain products. test_ops.c has some
   against direct loops as well. */

#include "nets.h"

#include "net/winograd.h"

/* clang-format off */
#define FRONT(n) { "conv2d", "out_channels=" #n ", kernel=1", NULL }
#define BETWEEN(what, height, width, channels, attributes) \
    { what, { 2, height, width }, "mse", { FRONT(channels), OP("tanh"), { "conv2d", attributes, NULL }, OP("tanh"), OP("flatten"), LINEAR(5) } }
/* clang-format on */

static const net_case tiled[] = {
    BETWEEN("whole tiles", 6, 10, 16, "out_channels=16, kernel=3"),
    BETWEEN("whole small tiles", 6, 6, 16, "out_channels=32, kernel=3, padding=1"),
    BETWEEN("small tiles stick out", 8, 7, 30, "out_channels=31, kernel=3"),
    BETWEEN("tiles stick out", 9, 8, 16, "out_channels=16, kernel=3, padding=1"),
    BETWEEN("two borders", 7, 5, 32, "out_channels=16, kernel=3, padding=2"),
    BETWEEN("uneven borders", 8, 9, 16, "out_channels=32, kernel=3, padding=1,0"),
    BETWEEN("no bias", 8, 8, 16, "out_channels=16, kernel=3, padding=1, bias=false"),
    BETWEEN("channels between lanes", 12, 12, 23, "out_channels=30, kernel=3, padding=1"),
    BETWEEN("5x5", 9, 8, 16, "out_channels=16, kernel=5, padding=2"),
    BETWEEN("5x5 without a border", 7, 10, 16, "out_channels=32, kernel=5"),
    BETWEEN("fewer samples at a time than in a span", 20, 20, 16, "out_channels=16, kernel=5, padding=2"),
    BETWEEN("5x5, its whole input padding", 3, 2, 32, "out_channels=16, kernel=5, padding=4"),
    { "one after the other",
      { 2, 8, 8 },
      "cross_entropy",
      { FRONT(16),
        { "conv2d", "out_channels=16, kernel=3, padding=1", NULL },
        OP("relu"),
        { "conv2d", "out_channels=16, kernel=5, padding=2", NULL },
        { "max_pool2d", "kernel=2", NULL },
        OP("flatten"),
        LINEAR(4) } },
    { "first of all",
      { 16, 7, 7 },
      "mse",
      { { "conv2d", "out_channels=16, kernel=3, padding=1", NULL }, OP("flatten"), LINEAR(3) } },
    { "read twice, added to",
      { 2, 8, 6 },
      "mse",
      { FRONT(16),
        { "conv2d", "out_channels=16, kernel=3, padding=1", "0" },
        { "conv2d", "out_channels=16, kernel=3, padding=1", "0" },
        ON("add", "0 1 2"),
        OP("sigmoid"),
        OP("flatten"),
        LINEAR(2) } },
};
enum { TILED = sizeof tiled / sizeof *tiled, MOST_KINDS = 6 };

typedef struct results { /* outputs, gradient, H v, G v, J v, J' u */
    pitot_real *of[MOST_KINDS];
    int64_t size[MOST_KINDS];
} results;

static const char *const kind_names[MOST_KINDS] = { "outputs", "gradient", "H v", "G v", "J v", "J' u" };

static results all_of(pitot_net *net, int64_t n) {
    int64_t outputs = n * outputs_of(net), d = net->size;
    results r = { .size = { outputs, d, d, d, outputs, d } };
    pitot_real *v = random_vector(d, 1), *u = random_vector(outputs, 2);
    for (int i = 0; i < MOST_KINDS; i++) r.of[i] = vector(r.size[i]);
    pass(net, n);
    memcpy(r.of[0], pitot_net_output(net), (size_t)outputs * sizeof *u);
    flat_gradient(net, r.of[1]);
    assert_int_equal(pitot_net_hvp(net, v, r.of[2]), PITOT_OK);
    assert_int_equal(pitot_net_ggnvp(net, v, r.of[3]), PITOT_OK);
    assert_int_equal(pitot_net_jvp(net, v, r.of[4]), PITOT_OK);
    assert_int_equal(pitot_net_vjp(net, u, r.of[5]), PITOT_OK);
    mem_free(v);
    mem_free(u);
    return r;
}

/* Frees both. */
static void compare_all(const net_case *c, results a, results b, double tolerance) {
    for (int i = 0; i < MOST_KINDS; i++) {
        compare(c, kind_names[i], a.of[i], b.of[i], a.size[i], tolerance);
        mem_free(a.of[i]);
        mem_free(b.of[i]);
    }
}

/* From here on, all convolutions unfold. Returns how many did not before. */
static int unfold_all(pitot_net *net) {
    int n = 0;
    for (int32_t k = 0; k < net->n_nodes; k++) {
        n += net->buffer[k].own != NULL;
        mem_free(net->buffer[k].own);
        net->buffer[k].own = NULL;
    }
    return n;
}

/* Errors of single precision: a few times those of plain sums, each of which is within round_off. */
static void test_against_unfolded(void **state) {
    (void)state;
    (void)cases;
    int64_t blocks = mem_count().blocks;
    for (int i = 0; i < TILED; i++)
        for (int threads = 1; threads <= 2; threads++)
            for (int64_t n = 8; n <= ROOM; n += 3) {
                pitot_net *net = prepared(&tiled[i], ROOM, threads), *plain = prepared(&tiled[i], ROOM, threads);
                assert_true(unfold_all(plain) > 0);
                compare_all(&tiled[i], all_of(net, n), all_of(plain, n), round_off);
                pitot_net_free(net);
                pitot_net_free(plain);
            }
    assert_int_equal(mem_count().blocks, blocks);
}

/* Whatever a net did before. */
static void test_repetition(void **state) {
    (void)state;
    for (int i = 0; i < TILED; i++) {
        pitot_net *net = prepared(&tiled[i], ROOM, 2), *other = prepared(&tiled[i], ROOM, 2);
        results first = all_of(net, ROOM), again = all_of(other, 8);
        compare_all(&tiled[i], again, all_of(net, 8), 0);
        compare_all(&tiled[i], first, all_of(net, ROOM), 0);
        pitot_net_free(net);
        pitot_net_free(other);
    }
}

/* J v and G v where a part of the parameters moves: those of one node, others' tangents or gradients not there. */
static void one_part(pitot_net *net, int32_t k, int curved, pitot_real *jv, pitot_real *hv) {
    unsigned char only[LAYERS] = { 0 };
    const buffers *top = &net->buffer[net->n_nodes - 1];
    pitot_real *v = random_vector(net->size, 5);
    only[k] = WALK_PARAMETERS;
    tangents_mark(net, only);
    tangents_up(net, only, v);
    memcpy(jv, top->yt, (size_t)(net->last.n * outputs_of(net)) * sizeof *jv);
    tangents_turn(net);
    memset(hv, 0, (size_t)net->size * sizeof *hv);
    tangents_down(net, only, curved ? v : NULL, hv);
    mem_free(v);
}

static void test_parts(void **state) {
    (void)state;
    for (int i = 0; i < TILED; i++) {
        pitot_net *net = prepared(&tiled[i], ROOM, 2), *plain = prepared(&tiled[i], ROOM, 2);
        unfold_all(plain);
        pass(net, ROOM);
        pass(plain, ROOM);
        assert_int_equal(pitot_net_prepare_products(net, NULL), PITOT_OK);
        assert_int_equal(pitot_net_prepare_products(plain, NULL), PITOT_OK);
        int64_t outputs = ROOM * outputs_of(net);
        pitot_real *jv[2] = { vector(outputs), vector(outputs) }, *hv[2] = { vector(net->size), vector(net->size) };
        for (int j = 0; j < 2 * net->n_nodes; j++) {
            if (net->buffer[j / 2].weight < 0) continue;
            one_part(net, j / 2, j % 2, jv[0], hv[0]);
            one_part(plain, j / 2, j % 2, jv[1], hv[1]);
            compare(&tiled[i], "J v of a part", jv[0], jv[1], outputs, round_off);
            compare(&tiled[i], "a part of H or G", hv[0], hv[1], net->size, round_off);
        }
        for (int j = 0; j < 2; j++) {
            mem_free(jv[j]);
            mem_free(hv[j]);
        }
        pitot_net_free(net);
        pitot_net_free(plain);
    }
}

/* Sums of values >= 0 stay so: these are not for tiles. */
static void test_hesscale(void **state) {
    (void)state;
    pitot_net *net = prepared(&tiled[1], ROOM, 2), *plain = prepared(&tiled[1], ROOM, 2);
    pitot_real *got = vector(net->size), *want = vector(net->size);
    pass(net, ROOM);
    pass(plain, ROOM);
    memcpy(plain->theta, net->theta, (size_t)net->room * sizeof *net->theta);
    for (int32_t k = 0; k < net->n_nodes; k++) {
        const buffers *from = &net->buffer[k], *to = &plain->buffer[k];
        memcpy(to->y, from->y, (size_t)(ROOM * net->node[k].out.size) * sizeof *to->y);
        memcpy(to->dy, from->dy, (size_t)(ROOM * net->node[k].out.size) * sizeof *to->dy);
    }
    unfold_all(plain);
    assert_int_equal(hesscale_prepare(net, NULL), PITOT_OK);
    assert_int_equal(hesscale_prepare(plain, NULL), PITOT_OK);
    hesscale_diagonal(net, PITOT_DIAGONAL_HESSCALE_GN, 0, got);
    hesscale_diagonal(plain, PITOT_DIAGONAL_HESSCALE_GN, 0, want);
    compare(&tiled[1], "HesScale", got, want, net->size, 0);
    for (int64_t i = 0; i < net->size; i++) assert_true(got[i] >= 0);
    mem_free(got);
    mem_free(want);
    pitot_net_free(net);
    pitot_net_free(plain);
}

/* What is not of the kind: other kernels, steps, groups; few channels; outputs that fill little of a tile; weights beyond the cache. */
static void test_left_alone(void **state) {
    static const net_case other[] = {
        BETWEEN("stride", 9, 9, 16, "out_channels=16, kernel=3, stride=2"),
        BETWEEN("dilation", 9, 9, 16, "out_channels=16, kernel=3, dilation=2"),
        BETWEEN("groups", 9, 9, 32, "out_channels=32, kernel=3, groups=2"),
        BETWEEN("kernel", 9, 9, 16, "out_channels=16, kernel=3,5"),
        BETWEEN("1x1", 9, 9, 16, "out_channels=16, kernel=1"),
        BETWEEN("4x4", 9, 9, 16, "out_channels=16, kernel=4"),
        BETWEEN("few inputs", 9, 9, 8, "out_channels=16, kernel=3"),
        BETWEEN("few outputs", 9, 9, 16, "out_channels=8, kernel=3"),
        BETWEEN("lanes half empty", 9, 9, 17, "out_channels=17, kernel=3, padding=1"),
        BETWEEN("one position", 3, 3, 16, "out_channels=16, kernel=3"),
        BETWEEN("a large weight", 4, 4, 256, "out_channels=256, kernel=3, padding=1"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        pitot_net *net = prepared(&other[i], ROOM, 1);
        if (net->buffer[2].own) fail_msg("%s: by tiles", other[i].what);
        pitot_net_free(net);
    }
}

/* Few samples on a thread: transforms of the weight do not pay. The same bits as unfolded. */
static void test_few_samples(void **state) {
    (void)state;
    pitot_net *net = prepared(&tiled[1], ROOM, 2), *plain = prepared(&tiled[1], ROOM, 2);
    unfold_all(plain);
    for (int64_t n = 1; n < 4; n++) compare_all(&tiled[1], all_of(net, n), all_of(plain, n), 0);
    pitot_net_free(net);
    pitot_net_free(plain);
}

/* What is no number reaches the outputs that see it, and no other sample's. */
static void test_no_number(void **state) {
    (void)state;
    pitot_net *net = prepared(&tiled[6], ROOM, 1);
    pitot_net_batch *b = batch_of(ROOM);
    pitot_real before = data.x[2 * net->input.size];
    data.x[2 * net->input.size] = (pitot_real)NAN;
    assert_int_equal(pitot_net_forward(net, b, NULL), PITOT_OK);
    for (int64_t i = 0; i < ROOM; i++) assert_int_equal(isnan(pitot_net_losses(net)[i]) != 0, i == 2);
    data.x[2 * net->input.size] = before;
    pitot_net_free(net);
}

/* Room that is not there. */
static void test_no_memory(void **state) {
    (void)state;
    int64_t blocks = mem_count().blocks;
    pitot_net *net = prepared(&tiled[1], ROOM, 2);
    int32_t status = PITOT_ENOMEM;
    for (int64_t k = 1; k < 100 && status; k++) {
        mem_fail_at(k, 0);
        status = pitot_net_prepare(net, ROOM, 2, NULL);
        mem_fail_at(0, 0);
        assert_true(status == PITOT_ENOMEM || status == PITOT_OK);
    }
    assert_int_equal(status, PITOT_OK);
    pitot_net_free(net);
    assert_int_equal(mem_count().blocks, blocks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_unfolded), cmocka_unit_test(test_repetition), cmocka_unit_test(test_parts),
        cmocka_unit_test(test_hesscale),         cmocka_unit_test(test_left_alone), cmocka_unit_test(test_few_samples),
        cmocka_unit_test(test_no_number),        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
