/* Model files: every form that is allowed, and a table of files that are wrong, each with the status and the words that its message must
   hold. Messages name the file and the field. */

#include "base/alloc.h"
#include "net/net.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64], path[96];

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/pitot-model-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/m.json", folder);
    return 0;
}

static int remove_one(const char *name, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind, (void)at;
    return remove(name);
}

static int remove_folder(void **state) {
    (void)state;
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void write_bytes(const char *bytes, size_t n) {
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, n, out), n);
    assert_int_equal(fclose(out), 0);
}

/* Text with ' for ", so that it can be read here. */
static pitot_net *read_text(const char *text, pitot_error *error) {
    size_t n = strlen(text);
    char *copy = malloc(n + 1);
    strcpy(copy, text);
    for (char *s = copy; *s; s++)
        if (*s == '\'') *s = '"';
    write_bytes(copy, n);
    free(copy);
    return pitot_net_read(path, error);
}

static pitot_net *must_read(const char *text) {
    pitot_error error = { 0 };
    pitot_net *net = read_text(text, &error);
    if (!net) fail_msg("%s: %s", text, error.text);
    assert_int_equal(error.status, PITOT_OK);
    return net;
}

/* ---- good files ---- */

static void check_output(const char *layers, const char *input, int64_t output, int64_t parameters) {
    char text[2048];
    snprintf(text, sizeof text, "{'input': %s, 'loss': 'mse', 'layers': [%s]}", input, layers);
    pitot_net *net = must_read(text);
    pitot_net_facts f;
    pitot_net_get_facts(net, &f);
    if (f.output != output || f.parameters != parameters)
        fail_msg("%s: %lld outputs, %lld parameters", layers, (long long)f.output, (long long)f.parameters);
    pitot_net_free(net);
}

static void test_layers(void **state) {
    (void)state;
    check_output("{'op': 'linear', 'out_features': 3}", "[5]", 3, 18);
    check_output("{'op': 'linear', 'out_features': 3, 'bias': false}", "[5]", 3, 15);
    check_output("{'out_features': 3.0, 'bias': true, 'name': 'last', 'op': 'linear'}", "[5]", 3, 18);
    check_output("{'op': 'conv2d', 'out_channels': 4, 'kernel': 3}", "[2, 8, 7]", 4 * 6 * 5, 76);
    check_output("{'op': 'conv2d', 'out_channels': 4, 'kernel': [3, 1], 'stride': [2, 1], 'padding': [1, 0], 'dilation': [1, 2]}",
                 "[2, 8, 7]", 4 * 4 * 7, 28);
    check_output("{'op': 'conv2d', 'out_channels': 4, 'kernel': 3, 'groups': 2, 'bias': false, 'padding': 1}", "[2, 8, 7]", 4 * 56,
                 36);
    check_output("{'op': 'max_pool2d', 'kernel': 3}", "[2, 8, 7]", 2 * 2 * 2, 0);
    check_output("{'op': 'max_pool2d', 'kernel': 3, 'stride': 2, 'padding': 1, 'dilation': 1, 'ceil_mode': true}", "[2, 8, 7]",
                 2 * 5 * 4, 0);
    check_output("{'op': 'max_pool2d', 'stride': 1, 'kernel': 3}", "[2, 8, 7]", 2 * 6 * 5,
                 0); /* the stride stays, in whatever order */
    check_output("{'op': 'avg_pool2d', 'kernel': [2, 3], 'count_include_pad': false}", "[2, 8, 7]", 2 * 4 * 2, 0);
    check_output("{'op': 'global_avg_pool2d'}", "[2, 8, 7]", 2, 0);
    check_output("{'op': 'flatten'}, {'op': 'linear', 'out_features': 1}", "[2, 8, 7]", 1, 113);
    check_output("{'op': 'dropout'}, {'op': 'dropout', 'p': 0.25}, {'op': 'dropout', 'p': 0}, {'op': 'dropout', 'p': 1}", "[2, 8]",
                 16, 0);
    check_output("{'op': 'leaky_relu', 'negative_slope': -1e-3}, {'op': 'elu', 'alpha': 0.5}, {'op': 'selu'}, {'op': 'silu'}",
                 "[5]", 5, 0);
    check_output("{'op': 'gelu', 'approximate': 'tanh'}, {'op': 'gelu', 'approximate': 'none'}, {'op': 'gelu'}", "[5]", 5, 0);
    check_output("{'op': 'softplus', 'beta': 2, 'threshold': 10}, {'op': 'relu'}, {'op': 'sigmoid'}, {'op': 'tanh'}", "[5]", 5, 0);
    check_output("{'op': 'relu'}", "[2, 3, 4, 5]", 120, 0);
}

/* Attributes from the file are those that a program would have given. */
static void test_attributes(void **state) {
    (void)state;
    pitot_net *net = must_read("{'input': [1, 9, 9], 'loss': 'mse', 'layers': ["
                               "{'op': 'max_pool2d', 'kernel': [3, 2]}, {'op': 'softplus', 'beta': 0.1, 'threshold': 7}]}");
    int64_t pool[4];
    double plus[2];
    memcpy(pool, net->node[0].attributes, sizeof pool);
    memcpy(plus, net->node[1].attributes, sizeof plus);
    assert_true(pool[0] == 3 && pool[1] == 2 && pool[2] == 3 && pool[3] == 2); /* stride follows the kernel */
    assert_true(plus[0] == 0.1 && plus[1] == 7);
    pitot_net_free(net);
}

static void test_names(void **state) {
    (void)state;
    pitot_net *net =
        must_read("{'name': 'my net', 'input': [4], 'loss': 'cross_entropy', 'layers': ["
                  "{'op': 'linear', 'name': 'features.0', 'out_features': 4}, {'op': 'relu'}, {'op': 'linear', 'out_features': 4}, "
                  "{'op': 'add', 'inputs': ['features.0', '2'], 'name': 'sum'}, {'op': 'linear', 'name': 'head', 'inputs': 'sum', "
                  "'out_features': 2}]}");
    pitot_net_facts f;
    pitot_net_get_facts(net, &f);
    assert_string_equal(f.name, "my net");
    assert_string_equal(f.loss, "cross_entropy");
    assert_int_equal(pitot_net_prepare(net, 1, 1, NULL), PITOT_OK);
    static const char *const names[] = { "features.0.weight", "features.0.bias", "2.weight", "2.bias", "head.weight", "head.bias" };
    assert_int_equal(pitot_net_param_count(net), 6);
    for (int i = 0; i < 6; i++) assert_string_equal(pitot_net_params(net)[i].name, names[i]);
    pitot_net_free(net);
}

static void test_inputs(void **state) {
    (void)state;
    pitot_net *net = must_read("{'input': [4], 'loss': 'mse', 'layers': [{'op': 'relu', 'name': 'a', 'inputs': 'input'}, {'op': "
                               "'tanh', 'name': 'b', 'inputs': ['input']}, "
                               "{'op': 'add', 'name': 'c', 'inputs': ['a', 'b', 'input', 'a']}, {'op': 'silu', 'inputs': 'a'}]}");
    static const int32_t want[] = { 0, 1, -1, 0 };
    assert_true(net->node[0].input[0] == -1 && net->node[1].input[0] == -1);
    assert_int_equal(net->node[2].n_inputs, 4);
    assert_memory_equal(net->node[2].input, want, sizeof want);
    assert_int_equal(net->node[3].input[0], 0);
    assert_string_equal(net->node[3].name, "3");
    pitot_net_free(net);
}

static void test_shipped_models(void **state) {
    (void)state;
    static const char *const files[] = { "examples/glyphs_cnn.json", "examples/mnist_mlp.json", "examples/fmnist_2c2d.json",
                                         "examples/cifar10_3c3d.json" };
    static const int64_t sizes[] = { 0, 1336610, 3274634, 895210 };
    for (int i = 0; i < 4; i++) {
        pitot_error error = { 0 };
        pitot_net_facts f;
        pitot_net *net = pitot_net_read(files[i], &error);
        if (!net) fail_msg("%s", error.text);
        pitot_net_get_facts(net, &f);
        if (sizes[i]) assert_int_equal(f.parameters, sizes[i]);
        pitot_net_free(net);
    }
}

/* ---- bad files ---- */

typedef struct bad_file {
    int32_t status;
    const char *text;
    const char *says[3]; /* all of them, behind the file's name */
} bad_file;

#define NET(layers) "{'input': [4], 'loss': 'mse', 'layers': [" layers "]}"
#define IMAGE(layers) "{'input': [2, 6, 6], 'loss': 'mse', 'layers': [" layers "]}"
#define FIRST "{'op': 'linear', 'name': 'fc', 'out_features': 4}, "

static const bad_file bad_files[] = {
    /* not JSON: line and column */
    { PITOT_EFORMAT, "", { ":1:1: ", "not JSON" } },
    { PITOT_EFORMAT, "   \n\n", { ":3:1: ", "not JSON" } },
    { PITOT_EFORMAT, "{'input': [4],\n 'loss' 'mse'}", { ":2:9: ", "not JSON", "comma, quote or bracket" } },
    { PITOT_EFORMAT, "{'input': [4,]}", { ":1:14: ", "not JSON" } },
    { PITOT_EFORMAT, "{'input': [4], 'loss': 'mse', 'layers': [{'op': 'relu'}]", { ":1:", "not JSON" } },
    { PITOT_EFORMAT, NET("{'op': 'relu'}") "\n\n  x", { ":3:3: ", "not JSON" } },
    { PITOT_EFORMAT, NET("{'op': 'relu'}") " {}", { ":1:", "not JSON" } },
    { PITOT_EFORMAT, "{'input': [4], 'loss': nan}", { ":1:24: ", "not JSON" } },
    { PITOT_EFORMAT, "# a comment\n{}", { ":1:1: ", "not JSON" } },
    /* the top */
    { PITOT_EFORMAT, "[]", { "must be a JSON object" } },
    { PITOT_EFORMAT, "3", { "must be a JSON object" } },
    { PITOT_EFORMAT, "'relu'", { "must be a JSON object" } },
    { PITOT_EFORMAT, "{}", { ":input: ", "[1, 28, 28]" } },
    { PITOT_EFORMAT,
      "{'inputs': [4], 'loss': 'mse', 'layers': [{'op': 'relu'}]}",
      { "unknown key \"inputs\"", "did you mean \"input\"" } },
    { PITOT_EFORMAT,
      "{'input': [4], 'lost': 'mse', 'layers': [{'op': 'relu'}]}",
      { "unknown key \"lost\"", "did you mean \"loss\"" } },
    { PITOT_EFORMAT,
      "{'input': [4], 'loss': 'mse', 'loss': 'mse', 'layers': [{'op': 'relu'}]}",
      { "\"loss\" stands there twice" } },
    { PITOT_EFORMAT, "{'input': [4], 'layers': [{'op': 'relu'}]}", { ":loss: ", "is missing", "cross_entropy" } },
    { PITOT_EFORMAT, "{'input': [4], 'loss': 3, 'layers': [{'op': 'relu'}]}", { ":loss: " } },
    { PITOT_EFORMAT,
      "{'input': [4], 'loss': 'crossentropy', 'layers': [{'op': 'relu'}]}",
      { ":loss: ", "did you mean \"cross_entropy\"" } },
    { PITOT_EFORMAT, "{'name': 3, 'input': [4], 'loss': 'mse', 'layers': [{'op': 'relu'}]}", { ":name: ", "must be a string" } },
    { PITOT_EFORMAT, "{'input': [], 'loss': 'mse', 'layers': [{'op': 'relu'}]}", { ":input: " } },
    { PITOT_EFORMAT, "{'input': 4, 'loss': 'mse', 'layers': [{'op': 'relu'}]}", { ":input: " } },
    { PITOT_EFORMAT, "{'input': [4, 0], 'loss': 'mse', 'layers': [{'op': 'relu'}]}", { ":input[1]: ", "whole number from 1" } },
    { PITOT_EFORMAT, "{'input': [-4], 'loss': 'mse', 'layers': [{'op': 'relu'}]}", { ":input[0]: " } },
    { PITOT_EFORMAT, "{'input': [2.5], 'loss': 'mse', 'layers': [{'op': 'relu'}]}", { ":input[0]: " } },
    { PITOT_EFORMAT, "{'input': ['4'], 'loss': 'mse', 'layers': [{'op': 'relu'}]}", { ":input[0]: " } },
    { PITOT_EFORMAT, "{'input': [1e10], 'loss': 'mse', 'layers': [{'op': 'relu'}]}", { ":input[0]: " } },
    { PITOT_EFORMAT, "{'input': [1e400], 'loss': 'mse', 'layers': [{'op': 'relu'}]}", { ":input[0]: " } },
    { PITOT_EFORMAT, "{'input': [1, 1, 1, 1, 1], 'loss': 'mse', 'layers': [{'op': 'relu'}]}", { ":input[4]: ", "at most 4" } },
    { PITOT_EFORMAT, "{'input': [2000000000, 2000000000], 'loss': 'mse', 'layers': [{'op': 'relu'}]}", { ":input: " } },
    { PITOT_EFORMAT, "{'input': [4], 'loss': 'mse'}", { ":layers: ", "at least one" } },
    { PITOT_EFORMAT, NET(""), { ":layers: ", "at least one" } },
    { PITOT_EFORMAT, "{'input': [4], 'loss': 'mse', 'layers': {'op': 'relu'}}", { ":layers: " } },
    /* layers */
    { PITOT_EFORMAT, NET("3"), { ":layers[0]: ", "must be an object" } },
    { PITOT_EFORMAT, NET(FIRST "'relu'"), { ":layers[1]: ", "must be an object" } },
    { PITOT_EFORMAT, NET(FIRST "{'name': 'x'}"), { ":layers[1] (x).op: ", "is missing" } },
    { PITOT_EFORMAT, NET("{'op': 3}"), { ":layers[0].op: " } },
    { PITOT_EFORMAT, NET(FIRST "{'op': 'rellu'}"), { ":layers[1]", "unknown op \"rellu\"", "did you mean \"relu\"" } },
    { PITOT_EFORMAT, NET("{'op': ''}"), { ":layers[0]", "unknown op \"\"" } },
    { PITOT_EFORMAT, NET("{'op': 'linear'}"), { ":layers[0]", "out_features is missing" } },
    { PITOT_EFORMAT, IMAGE("{'op': 'conv2d', 'out_channels': 3}"), { ":layers[0]", "kernel is missing" } },
    { PITOT_EFORMAT,
      NET("{'op': 'linear', 'name': 'fc1', 'out_feature': 3}"),
      { ":layers[0] (fc1)", "unknown option \"out_feature\"", "did you mean \"out_features\"" } },
    { PITOT_EFORMAT, NET("{'op': 'relu', 'slope': 3}"), { ":layers[0]", "\"slope\"", "it has none" } },
    { PITOT_EFORMAT, NET("{'op': 'linear', 'out_features': 'ten'}"), { ":layers[0]", "out_features", "not a number" } },
    { PITOT_EFORMAT, NET("{'op': 'linear', 'out_features': 2.5}"), { ":layers[0]", "out_features", "whole number" } },
    { PITOT_EFORMAT, NET("{'op': 'linear', 'out_features': 0}"), { ":layers[0]", "out_features", "out of range" } },
    { PITOT_EFORMAT, NET("{'op': 'linear', 'out_features': -1}"), { ":layers[0]", "out_features", "out of range" } },
    { PITOT_EFORMAT, NET("{'op': 'linear', 'out_features': true}"), { ":layers[0]", "out_features", "not a number" } },
    { PITOT_EFORMAT, NET("{'op': 'linear', 'out_features': 3, 'bias': 7}"), { ":layers[0]", "bias", "true or false" } },
    { PITOT_EFORMAT, NET("{'op': 'linear', 'out_features': null}"), { ":layers[0].out_features: " } },
    { PITOT_EFORMAT, NET("{'op': 'linear', 'out_features': {'a': 1}}"), { ":layers[0].out_features: " } },
    { PITOT_EFORMAT, NET("{'op': 'linear', 'out_features': []}"), { ":layers[0].out_features: " } },
    { PITOT_EFORMAT, NET("{'op': 'linear', 'out_features': [[3]]}"), { ":layers[0].out_features: " } },
    { PITOT_EFORMAT, NET("{'op': 'linear', 'out_features': '3, bias=false'}"), { ":layers[0].out_features: " } },
    { PITOT_EFORMAT,
      IMAGE("{'op': 'conv2d', 'out_channels': 3, 'kernel': [3, 3, 3]}"),
      { ":layers[0]", "kernel", "too many values" } },
    { PITOT_EFORMAT, NET("{'op': 'dropout', 'p': 1.5}"), { ":layers[0]", "p: ", "[0, 1]" } },
    { PITOT_EFORMAT, NET("{'op': 'gelu', 'approximate': 'exact'}"), { ":layers[0]", "approximate", "none|tanh" } },
    { PITOT_EFORMAT, NET("{'op': 'softplus', 'beta': 0}"), { ":layers[0]", "beta", "out of range" } },
    { PITOT_EFORMAT,
      NET("{'op': 'linear', 'out_features': 3, 'out_features': 4}"),
      { ":layers[0]", "\"out_features\" stands there twice" } },
    { PITOT_EFORMAT, NET("{'op': 'relu', 'op': 'tanh'}"), { ":layers[0]", "\"op\" stands there twice" } },
    { PITOT_EFORMAT, NET("{'op': 'relu', 'a b': 3}"), { ":layers[0]", "\"a b\"" } },
    { PITOT_EFORMAT, NET("{'op': 'relu', '': 3}"), { ":layers[0]", "\"\"" } },
    /* names and inputs */
    { PITOT_EFORMAT, NET("{'op': 'relu', 'name': 7}"), { ":layers[0].name: ", "must be a string" } },
    { PITOT_EFORMAT, NET("{'op': 'relu', 'name': ''}"), { ":layers[0]", "name: " } },
    { PITOT_EFORMAT, NET("{'op': 'relu', 'name': 'a/b'}"), { ":layers[0] (a/b)", "cannot be used" } },
    { PITOT_EFORMAT, NET("{'op': 'relu', 'name': 'a b'}"), { ":layers[0] (a b)", "cannot be used" } },
    { PITOT_EFORMAT,
      NET("{'op': 'relu', 'name': 'a\\u001b[2J'}"),
      { ":layers[0]", "cannot be used" } }, /* would reach the terminal */
    { PITOT_EFORMAT, NET("{'op': 'relu', 'name': 'input'}"), { ":layers[0] (input)", "cannot be used" } },
    { PITOT_EFORMAT, NET(FIRST "{'op': 'relu', 'name': 'fc'}"), { ":layers[1] (fc)", "already" } },
    { PITOT_EFORMAT, NET("{'op': 'relu', 'name': '1'}, {'op': 'relu'}"), { ":layers[1]", "\"1\" already" } },
    { PITOT_EFORMAT, NET(FIRST "{'op': 'relu', 'inputs': 'fc2'}"), { ":layers[1]", "inputs: ", "\"fc2\"" } },
    { PITOT_EFORMAT,
      NET("{'op': 'add', 'inputs': ['input', 'later']}, {'op': 'relu', 'name': 'later'}"),
      { ":layers[0]", "no earlier layer called \"later\"" } },
    { PITOT_EFORMAT, NET("{'op': 'relu', 'name': 'me', 'inputs': 'me'}"), { ":layers[0] (me)", "no earlier layer" } },
    { PITOT_EFORMAT, NET("{'op': 'relu', 'inputs': []}"), { ":layers[0].inputs: ", "is empty" } },
    { PITOT_EFORMAT, NET("{'op': 'relu', 'inputs': ''}"), { ":layers[0].inputs: ", "is empty" } },
    { PITOT_EFORMAT, NET("{'op': 'relu', 'inputs': 0}"), { ":layers[0].inputs: ", "list of names" } },
    { PITOT_EFORMAT, NET("{'op': 'relu', 'inputs': [0]}"), { ":layers[0].inputs: ", "list of names" } },
    { PITOT_EFORMAT, NET(FIRST "{'op': 'add', 'inputs': ['fc input', 'fc']}"), { ":layers[1].inputs: ", "list of names" } },
    { PITOT_EFORMAT, NET("{'op': 'add'}"), { ":layers[0]", "add takes 2 or more inputs, not 1" } },
    { PITOT_EFORMAT, NET("{'op': 'relu', 'inputs': ['input', 'input']}"), { ":layers[0]", "relu takes 1 input, not 2" } },
    /* shapes */
    { PITOT_EMISMATCH, IMAGE("{'op': 'linear', 'out_features': 3}"), { ":layers[0]", "(2, 6, 6)", "flatten" } },
    { PITOT_EMISMATCH,
      NET("{'op': 'conv2d', 'out_channels': 3, 'kernel': 3}"),
      { ":layers[0]", "(4)", "(channels, height, width)" } },
    { PITOT_EMISMATCH, NET("{'op': 'max_pool2d', 'kernel': 3}"), { ":layers[0]", "(4)" } },
    { PITOT_EMISMATCH, NET("{'op': 'global_avg_pool2d'}"), { ":layers[0]", "(4)" } },
    { PITOT_EMISMATCH, IMAGE("{'op': 'conv2d', 'out_channels': 3, 'kernel': 7}"), { ":layers[0]", "does not fit", "(2, 6, 6)" } },
    { PITOT_EMISMATCH, IMAGE("{'op': 'conv2d', 'out_channels': 3, 'kernel': 1, 'groups': 2}"), { ":layers[0]", "groups=2" } },
    { PITOT_EFORMAT, IMAGE("{'op': 'max_pool2d', 'kernel': 2, 'padding': 2}"), { ":layers[0]", "half the kernel" } },
    { PITOT_EFORMAT, IMAGE("{'op': 'avg_pool2d', 'kernel': 3, 'padding': 2}"), { ":layers[0]", "half the kernel" } },
    { PITOT_EMISMATCH,
      IMAGE("{'op': 'max_pool2d', 'kernel': [2, 1], 'padding': [1, 0], 'dilation': [7, 1]}"),
      { ":layers[0]", "nothing but padding" } },
    { PITOT_EMISMATCH,
      NET(FIRST "{'op': 'linear', 'out_features': 5}, {'op': 'add', 'name': 'sum', 'inputs': ['fc', '1']}"),
      { ":layers[2] (sum)", "(4)", "(5)" } },
    /* losses */
    { PITOT_EMISMATCH,
      "{'input': [2, 6, 6], 'loss': 'cross_entropy', 'layers': [{'op': 'relu'}]}",
      { ":loss: ", "cross_entropy", "(2, 6, 6)" } },
    /* sizes */
    { PITOT_ENOTSUP,
      "{'input': [2000000000], 'loss': 'mse', 'layers': [{'op': 'linear', 'out_features': 1000000000}]}",
      { ":layers[0]", "larger than" } },
    { PITOT_EFORMAT, NET("{'op': 'linear', 'out_features': 1e300}"), { ":layers[0]", "out_features" } },
    { PITOT_EFORMAT, NET("{'op': 'linear', 'out_features': 1e10}"), { ":layers[0]", "out_features", "out of range" } },
    { PITOT_ENOTSUP, "{'input': [40000, 40000, 2], 'loss': 'mse', 'layers': [{'op': 'relu'}]}", { ":layers[0]", "larger than" } },
    { PITOT_ENOTSUP,
      "{'input': [2147483647, 1, 1], 'loss': 'mse', 'layers': [{'op': 'conv2d', 'out_channels': 1, 'kernel': 1048576, 'padding': "
      "524288}]}",
      { ":layers[0]", "larger than" } },
    { PITOT_ENOTSUP,
      "{'input': [100000, 1, 1], 'loss': 'mse', 'layers': [{'op': 'conv2d', 'out_channels': 1, 'kernel': 1, 'padding': 1048576}]}",
      { ":layers[0]", "larger than" } },
    { PITOT_ENOTSUP,
      "{'input': [1, 1, 1], 'loss': 'mse', 'layers': [{'op': 'conv2d', 'out_channels': 1073741824, 'kernel': 3, 'padding': 2}]}",
      { ":layers[0]", "larger than" } },
    { PITOT_ENOTSUP,
      "{'input': [1, 1, 1], 'loss': 'mse', 'layers': [{'op': 'max_pool2d', 'kernel': 1048576, 'padding': 524288, 'stride': 1}, "
      "{'op': 'conv2d', 'out_channels': 1, 'kernel': 1, 'padding': 1000000}]}",
      { ":layers[1]", "larger than" } },
};
enum { BAD = sizeof bad_files / sizeof *bad_files };

static void check_message(const char *text, const pitot_error *error, const char *const *says, int n) {
    size_t length = strlen(path);
    if (strncmp(error->text, path, length) || error->text[length] != ':')
        fail_msg("%s: \"%s\" does not begin with the file", text, error->text);
    for (int i = 0; i < n && says[i]; i++)
        if (!strstr(error->text + length, says[i])) fail_msg("%s: \"%s\" does not say \"%s\"", text, error->text, says[i]);
}

static void test_bad_files(void **state) {
    (void)state;
    mem_counts start = mem_count();
    for (int i = 0; i < BAD; i++) {
        pitot_error error = { 0 };
        pitot_net *net = read_text(bad_files[i].text, &error);
        if (net) fail_msg("%s: was read", bad_files[i].text);
        if (error.status != bad_files[i].status) fail_msg("%s: status %d, \"%s\"", bad_files[i].text, error.status, error.text);
        check_message(bad_files[i].text, &error, bad_files[i].says, 3);
        assert_null(pitot_net_read(path, NULL));
    }
    assert_int_equal(mem_count().blocks, start.blocks);
    assert_int_equal(mem_count().bytes, start.bytes);
}

static void test_no_file(void **state) {
    (void)state;
    pitot_error error = { 0 };
    assert_null(pitot_net_read("/no/such/file.json", &error));
    assert_int_equal(error.status, PITOT_EIO);
    assert_non_null(strstr(error.text, "/no/such/file.json: "));
    error = (pitot_error){ 0 };
    assert_null(pitot_net_read(folder, &error));
    assert_int_equal(error.status, PITOT_EIO);
}

/* A byte 0 ends a C string, but not a file. */
static void test_behind_a_zero(void **state) {
    (void)state;
    static const char text[] = "{\"input\":[2],\"loss\":\"mse\",\"layers\":[{\"op\":\"relu\"}]}\0 {";
    pitot_error error = { 0 };
    write_bytes(text, sizeof text - 1);
    assert_null(pitot_net_read(path, &error));
    assert_int_equal(error.status, PITOT_EFORMAT);
    check_message(text, &error, (const char *const[]){ ":1:", "not JSON" }, 2);
}

/* ---- files that are large, deep, or cut off ---- */

static char *repeat(const char *before, const char *unit, int n, const char *after) {
    size_t length = strlen(unit);
    char *text = malloc(strlen(before) + length * (size_t)n + strlen(after) + 1), *at = text + sprintf(text, "%s", before);
    for (int i = 0; i < n; i++) memcpy(at, unit, length), at += length;
    strcpy(at, after);
    return text;
}

static void must_fail(char *text, int32_t status, const char *says) {
    pitot_error error = { 0 };
    pitot_net *net = read_text(text, &error);
    if (net || error.status != status) fail_msg("%.60s...: status %d, \"%s\"", text, error.status, error.text);
    check_message("", &error, (const char *const[]){ says }, 1);
    free(text);
}

static void test_deep(void **state) {
    (void)state;
    must_fail(repeat("", "[", 100000, ""), PITOT_EFORMAT, "not JSON");
    must_fail(repeat("{'input': ", "[", 100000, ""), PITOT_EFORMAT, "not JSON");
    must_fail(repeat("", "{'a':", 100000, ""), PITOT_EFORMAT, "not JSON");
    must_fail(repeat(NET("{'op': 'relu'}"), "]", 5, ""), PITOT_EFORMAT, "not JSON");
}

static void test_long(void **state) {
    (void)state;
    must_fail(repeat("{'input': [4], 'loss': 'mse', 'layers': [{'op': 'relu', 'name': '", "n", 5000, "'}]}"), PITOT_EFORMAT,
              ":layers[0]");
    must_fail(repeat("{'input': [4], 'loss': 'mse', 'layers': [{'op': '", "r", 5000, "'}]}"), PITOT_EFORMAT, ":layers[0]");
    must_fail(repeat("{'input': [4], 'loss': 'mse', 'layers': [{'op': 'relu', '", "k", 5000, "': 1}]}"), PITOT_EFORMAT,
              ":layers[0]");
    must_fail(repeat("{'input': [4], 'loss': 'mse', 'layers': [{'op': 'linear', 'out_features': '", "1", 5000, "'}]}"),
              PITOT_EFORMAT, ":layers[0]");
    must_fail(repeat("{'input': [4], 'loss': 'mse', 'layers': [{'op': 'linear', 'out_features': [", "1, ", 5000, "1]}]}"),
              PITOT_EFORMAT, ":layers[0]");
    must_fail(repeat("{'input': [4], 'loss': 'mse', 'layers': [{'op': 'add', 'inputs': [", "'input', ", 16, "'input']}]}"),
              PITOT_EFORMAT, "more than 16");
    must_fail(repeat("{'input': [4], 'loss': 'mse', 'layers': [{'op': 'add', 'inputs': [", "'input', ", 5000, "'input']}]}"),
              PITOT_EFORMAT, ":layers[0].inputs");
    must_fail(repeat("{'input': [", "1, ", 5000, "1], 'loss': 'mse', 'layers': []}"), PITOT_EFORMAT, ":input[4]");
    must_fail(repeat("{'input': [4], 'loss': '", "m", 5000, "', 'layers': [{'op': 'relu'}]}"), PITOT_EFORMAT, ":loss");
    char *text = repeat("{'input': [4], 'loss': 'mse', 'layers': [{'op': 'add', 'inputs': [", "'input', ", 15, "'input']}]}");
    pitot_net_free(must_read(text)); /* sixteen are allowed */
    free(text);
    text = repeat("{'input': [4], 'loss': 'mse', 'layers': [", "{'op': 'relu'}, ", 1000, "{'op': 'relu'}]}");
    pitot_net *net = must_read(text);
    assert_int_equal(pitot_net_prepare(net, 1, 1, NULL), PITOT_OK);
    pitot_net_free(net);
    free(text);
}

/* Every beginning of a good file is refused, every single changed byte is refused or read: never a crash, never a block left. */
static void test_cut_and_changed(void **state) {
    (void)state;
    static const char good[] = "{\"input\":[2,5,5],\"loss\":\"mse\",\"layers\":[{\"op\":\"conv2d\",\"name\":\"c\",\"out_channels\":"
                               "2,\"kernel\":[3,2],\"bias\":false},"
                               "{\"op\":\"flatten\"},{\"op\":\"linear\",\"out_features\":2,\"inputs\":[\"1\"]}]}";
    static const unsigned char changes[] = { 0, '"', ',', ':', '[', ']', '{', '}', '9', '-', 'e', '\\', ' ', 0xff };
    char copy[sizeof good];
    int64_t blocks = mem_count().blocks;
    for (size_t n = 0; n < sizeof good - 1; n++) {
        pitot_error error = { 0 };
        write_bytes(good, n);
        assert_null(pitot_net_read(path, &error));
        assert_int_equal(error.status, PITOT_EFORMAT);
    }
    const char *scale = getenv("PITOT_FUZZ_SCALE");
    size_t stride = scale && strtod(scale, NULL) < 0.1 ? 20 : 1;
    for (size_t i = 0; i < (sizeof good - 1) * sizeof changes; i += stride) {
        pitot_error error = { 0 };
        memcpy(copy, good, sizeof good);
        copy[i / sizeof changes] = (char)changes[i % sizeof changes];
        write_bytes(copy, sizeof good - 1);
        pitot_net *net = pitot_net_read(path, &error);
        assert_int_equal(net == NULL, error.status != PITOT_OK);
        if (!net) check_message(copy, &error, NULL, 0);
        pitot_net_free(net);
    }
    assert_int_equal(mem_count().blocks, blocks);
}

/* The k-th request for memory fails, once or for ever. */
static void test_no_memory(void **state) {
    (void)state;
    int64_t blocks = mem_count().blocks;
    pitot_net_free(must_read(NET(FIRST "{'op': 'relu'}, {'op': 'add', 'inputs': ['fc', '1']}")));
    for (int forever = 0; forever < 2; forever++)
        for (int k = 1;; k++) {
            pitot_error error = { 0 };
            mem_fail_at(k, forever);
            pitot_net *net = pitot_net_read(path, &error);
            mem_fail_at(0, 0);
            assert_int_equal(net == NULL, error.status != PITOT_OK);
            if (net) {
                assert_true(k > 8);
                pitot_net_free(net);
                break;
            }
            assert_int_equal(error.status, PITOT_ENOMEM);
            assert_int_equal(mem_count().blocks, blocks);
        }
    assert_int_equal(mem_count().blocks, blocks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layers),  cmocka_unit_test(test_attributes),      cmocka_unit_test(test_names),
        cmocka_unit_test(test_inputs),  cmocka_unit_test(test_shipped_models),  cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_no_file), cmocka_unit_test(test_behind_a_zero),   cmocka_unit_test(test_deep),
        cmocka_unit_test(test_long),    cmocka_unit_test(test_cut_and_changed), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
