/* graph.c: nets as lists of nodes in the order they run: names, attributes, inputs, shapes. */

#include "base/alloc.h"
#include "base/nearest.h"
#include "net/net.h"

#include <stdio.h>
#include <string.h>

enum { NAME_ROOM = 200, MOST_NODES = 10000, TEXT_ROOM = 1024 };

/* ---- shapes ---- */

int shape_close(shape *s) {
    int64_t size = 1;
    for (int32_t i = 0; i < s->n; i++)
        if (s->dim[i] < 1 || __builtin_mul_overflow(size, s->dim[i], &size) || size > INT64_C(1) << 40) return 0;
    s->size = size;
    return 1;
}

int shape_equal(const shape *a, const shape *b) {
    return a->n == b->n && memcmp(a->dim, b->dim, (size_t)a->n * sizeof *a->dim) == 0;
}

const char *shape_text(const shape *s, char out[128]) {
    int n = snprintf(out, 128, "(");
    for (int32_t i = 0; i < s->n; i++) n += snprintf(out + n, 128 - (size_t)n, "%s%lld", i ? ", " : "", (long long)s->dim[i]);
    snprintf(out + n, 128 - (size_t)n, ")");
    return out;
}

/* ---- ops ---- */

const op *op_find(const char *name) {
    for (const op *const *o = op_table; *o; o++)
        if (strcmp((*o)->name, name) == 0) return *o;
    return NULL;
}

int32_t pitot_op_get(int64_t i, pitot_op_info *info) {
    for (int64_t k = 0; k <= i; k++)
        if (!op_table[k]) return 0;
    if (i < 0) return 0;
    *info = (pitot_op_info){ op_table[i]->name, op_table[i]->summary, op_table[i]->attributes };
    return 1;
}

static int32_t unknown_op(const char *name, pitot_error *error) {
    const char *names[64];
    char list[TEXT_ROOM];
    int n = 0;
    for (const op *const *o = op_table; *o && n < 64; o++) names[n++] = (*o)->name;
    nearest_list(name, names, n, list, sizeof list);
    return pitot_fail(error, PITOT_EINVAL, "unknown op \"%.60s\"; %s", name, list);
}

/* ---- building ---- */

pitot_net *pitot_net_new(const char *name, const int64_t *dims, const char *loss_name, pitot_error *error) {
    shape input = { 0 };
    while (input.n < PITOT_DIMS && dims[input.n]) input.dim[input.n] = dims[input.n], input.n++;
    if (input.n == 0 || !shape_close(&input))
        return pitot_fail(error, PITOT_EINVAL, "input: dimensions must be positive whole numbers"), NULL;
    const loss_kind *l = loss_name ? loss_find(loss_name) : NULL;
    if (!l) {
        char list[TEXT_ROOM];
        nearest_list(loss_name ? loss_name : "", loss_names, 3, list, sizeof list);
        return pitot_fail(error, PITOT_EINVAL, "loss: unknown loss \"%.60s\"; %s", loss_name ? loss_name : "", list), NULL;
    }
    pitot_net *net = mem_alloc(1, sizeof *net);
    if (net) {
        net->input = input;
        net->loss = l;
        net->name = mem_strdup(name ? name : "net");
    }
    if (net && net->name) return net;
    mem_free(net);
    return pitot_fail(error, PITOT_ENOMEM, "no memory for a net"), NULL;
}

void pitot_net_free(pitot_net *net) {
    if (!net) return;
    plan_free(net);
    for (int32_t i = 0; i < net->n_nodes; i++) {
        mem_free(net->node[i].name);
        mem_free(net->node[i].attributes);
    }
    mem_free(net->node);
    mem_free(net->name);
    mem_free(net);
}

static int32_t find_node(const pitot_net *net, const char *name, size_t length) {
    for (int32_t i = net->n_nodes - 1; i >= 0; i--)
        if (strlen(net->node[i].name) == length && memcmp(net->node[i].name, name, length) == 0) return i;
    return -2;
}

static int32_t read_inputs(const pitot_net *net, node *n, const char *inputs, pitot_error *error) {
    static const char separators[] = " ,\t\n";
    if (!inputs) {
        n->input[n->n_inputs++] = net->n_nodes - 1;
        return PITOT_OK;
    }
    for (const char *s = inputs + strspn(inputs, separators); *s;) {
        size_t length = strcspn(s, separators);
        int is_input = length == 5 && memcmp(s, "input", 5) == 0;
        int32_t i = is_input ? -1 : find_node(net, s, length);
        if (i < -1)
            return pitot_fail(error, PITOT_EINVAL,
                              "inputs: there is no earlier layer called \"%.*s\"; name one above this one, or \"input\"",
                              (int)(length < 60 ? length : 60), s);
        if (n->n_inputs == OP_INPUTS) return pitot_fail(error, PITOT_EINVAL, "inputs: more than %d", OP_INPUTS);
        n->input[n->n_inputs++] = i;
        s += length;
        s += strspn(s, separators);
    }
    return PITOT_OK;
}

/* Options whose default is the value of `o`, and that were not given, take it. */
static void follow(node *n, const pitot_option *o, uint64_t given) {
    const pitot_option *table = n->op->attributes;
    for (const pitot_option *p = table; p->name; p++)
        if (p->initial && p->initial[0] == '=' && strcmp(p->initial + 1, o->name) == 0 && !(given >> (p - table) & 1))
            memcpy((char *)n->attributes + p->offset, (char *)n->attributes + o->offset, 8 * (size_t)(o->count ? o->count : 1));
}

/* Length of the value at the start of v: up to a comma that is followed by another key= ("kernel=3,5, stride=2"), or the end. */
static size_t value_length(const char *v) {
    size_t length = 0;
    for (;;) {
        length += strcspn(v + length, ",");
        size_t next = length + strspn(v + length, ", "), word = strcspn(v + next, "=, ");
        if (!v[length] || v[next + word] == '=') return length;
        length = next;
    }
}

static int32_t read_attributes(node *n, const char *attributes, pitot_error *error) {
    char key[NAME_ROOM], value[NAME_ROOM], owner[64];
    uint64_t given = 0;
    snprintf(owner, sizeof owner, "%s", n->op->name);
    pitot_options_default(n->op->attributes, n->attributes);
    for (const char *s = attributes ? attributes + strspn(attributes, " ,") : ""; *s;) {
        size_t name = strcspn(s, "= ,");
        if (s[name] != '=' || name >= sizeof key)
            return pitot_fail(error, PITOT_EINVAL, "attributes: \"%.60s\" is not key=value", s);
        const char *v = s + name + 1;
        size_t length = value_length(v);
        if (length >= sizeof value) return pitot_fail(error, PITOT_EINVAL, "%.60s: the value is too long", s);
        snprintf(key, sizeof key, "%.*s", (int)name, s);
        snprintf(value, sizeof value, "%.*s", (int)length, v);
        int32_t status = pitot_options_set(n->op->attributes, n->attributes, owner, key, value, error);
        if (status) return status;
        const pitot_option *o = pitot_options_find(n->op->attributes, key);
        given |= UINT64_C(1) << (o - n->op->attributes);
        follow(n, o, given);
        s = v + length;
        s += strspn(s, " ,");
    }
    for (const pitot_option *o = n->op->attributes; o && o->name; o++)
        if (!o->initial && !(given >> (o - n->op->attributes) & 1))
            return pitot_fail(error, PITOT_EINVAL, "%s: %s is missing (%s)", n->op->name, o->name, o->help);
    return PITOT_OK;
}

static int32_t find_shapes(const pitot_net *net, node *n, pitot_error *error) {
    char text[128];
    if (n->n_inputs < n->op->inputs_min || n->n_inputs > n->op->inputs_max)
        return pitot_fail(error, PITOT_EINVAL, "%s takes %d%s input%s, not %d", n->op->name, n->op->inputs_min,
                          n->op->inputs_max > n->op->inputs_min ? " or more" : "", n->op->inputs_max > 1 ? "s" : "", n->n_inputs);
    for (int32_t i = 0; i < n->n_inputs; i++) n->in[i] = n->input[i] < 0 ? net->input : net->node[n->input[i]].out;
    int32_t status = n->op->shape(n, error);
    if (status) return status;
    int fits = shape_close(&n->out) && shape_close(&n->weight.shape) && shape_close(&n->bias.shape);
    for (int32_t i = 0; i < PITOT_DIMS; i++) fits = fits && n->out.dim[i] <= INT32_MAX && n->weight.shape.dim[i] <= INT32_MAX;
    if (!fits || n->in[0].size > INT32_MAX || n->out.size > INT32_MAX)
        return pitot_fail(error, PITOT_ENOTSUP, "%s: output %s is larger than anything that can be computed here", n->op->name,
                          shape_text(&n->out, text));
    if (!n->weight.shape.n) n->weight.shape.size = 0;
    if (!n->bias.shape.n) n->bias.shape.size = 0;
    return PITOT_OK;
}

static int32_t name_node(const pitot_net *net, node *n, const char *name, pitot_error *error) {
    char index[16];
    if (!name) {
        snprintf(index, sizeof index, "%d", net->n_nodes);
        name = index;
    }
    size_t length = strlen(name), control = 0;
    for (const char *c = name; *c; c++) control += (unsigned char)*c < ' ' || *c == 127;
    if (length == 0 || length > NAME_ROOM || control || strpbrk(name, "/ ,:#\"\\") || strcmp(name, "input") == 0)
        return pitot_fail(error, PITOT_EINVAL,
                          "name: \"%.60s\" cannot be used; take letters, digits, '.', '-' and '_', and not \"input\"", name);
    if (find_node(net, name, length) >= 0)
        return pitot_fail(error, PITOT_EINVAL, "name: there is a layer called \"%.60s\" already", name);
    n->name = mem_strdup(name);
    return n->name ? PITOT_OK : pitot_fail(error, PITOT_ENOMEM, "no memory for a layer");
}

static int32_t make_node(const pitot_net *net, node *n, const char *name, const char *inputs, const char *attributes,
                         pitot_error *error) {
    n->attributes = mem_alloc(1, n->op->attributes_size);
    if (!n->attributes) return pitot_fail(error, PITOT_ENOMEM, "no memory for a layer");
    int32_t status = name_node(net, n, name, error);
    if (!status) status = read_attributes(n, attributes, error);
    if (!status) status = read_inputs(net, n, inputs, error);
    if (!status) status = find_shapes(net, n, error);
    return status;
}

int32_t pitot_net_add(pitot_net *net, const char *op_name, const char *name, const char *inputs, const char *attributes,
                      pitot_error *error) {
    node n = { .op = op_find(op_name) };
    if (!n.op) return unknown_op(op_name, error);
    if (net->n_nodes == MOST_NODES) return pitot_fail(error, PITOT_EINVAL, "more than %d layers", MOST_NODES);
    if (net->n_nodes == net->room_nodes) {
        node *larger = mem_grow(net->node, net->n_nodes, 2 * net->room_nodes + 8, sizeof n);
        if (!larger) return pitot_fail(error, PITOT_ENOMEM, "no memory for a layer");
        net->node = larger;
        net->room_nodes = 2 * net->room_nodes + 8;
    }
    int32_t status = make_node(net, &n, name, inputs, attributes, error);
    if (status) {
        mem_free(n.name);
        mem_free(n.attributes);
        return status;
    }
    plan_free(net);
    net->node[net->n_nodes++] = n;
    return PITOT_OK;
}
