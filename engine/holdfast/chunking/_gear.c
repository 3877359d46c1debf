/* The cut points of the content-defined chunker, fast.
 *
 * _gear_py.py is the definition; this file computes the same cuts some hundred times faster. It is
 * one pure function over the buffer protocol: no state between calls, no I/O, no GIL while it works
 * on long buffers. C11 for GCC and clang, limited API; sizes, thresholds, keys are of params.py. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The two inner loops are written for the compiler's vectoriser; AVX2 makes them twice as fast. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define VECTORISED __attribute__((target_clones("avx2", "default")))
#define UNROLLED _Pragma("GCC unroll 4")
#else
#define VECTORISED
#define UNROLLED
#endif

enum {
    GEAR_WINDOW = 32, /* bytes that the gear hash depends on */
    PRF_WINDOW = 64,  /* bytes that the decision depends on */
    SPACING = 16,     /* least distance of a proposal from the hit before it */
    HIT_BELOW = 256,  /* of 65536: 1 position in 256 */
    BLOCK = 2048,     /* positions scanned at once where chunks are long */
    SMALL_BLOCK = 512,
    LARGE_AVERAGE = 32768,
    BATCH = 8,             /* positions decided at once */
    KEEP_GIL_BELOW = 65536 /* bytes, about 20 us: less than another thread would keep the GIL */
};
#define NOWHERE ((size_t)-1)

typedef struct {
    const uint8_t *data;
    size_t length;
    size_t min_size, average_size, max_size;
    uint64_t hard, easy, key0, key1;
    uint16_t gear[3];
    /* The block scanned last: hits, ascending, among the positions [block_begin, block_end). */
    size_t block_begin, block_end, hit_count;
    uint16_t hits[BLOCK];
    /* The next run of at least max_size zeros, or NOWHERE. */
    size_t run;
    int run_known, run_decided, zero_runs, final;
} Cutter;

/* Little-endian loads from any address. */
static inline uint64_t load64(const uint8_t *p) {
    uint64_t x;
    memcpy(&x, p, 8);
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? x : __builtin_bswap64(x);
}

static inline uint16_t load16(const uint8_t *p) {
    uint16_t x;
    memcpy(&x, p, 2);
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? x : __builtin_bswap16(x);
}

/* ---- decision: SipHash-2-4 of the 64 bytes before a position ---- */

#define ROTATE(x, n) (((x) << (n)) | ((x) >> (64 - (n))))
#define SIP_ROUND \
    v0 += v1; v2 += v3; v1 = ROTATE(v1, 13) ^ v0; v3 = ROTATE(v3, 16) ^ v2; v0 = ROTATE(v0, 32); \
    v2 += v1; v0 += v3; v1 = ROTATE(v1, 17) ^ v2; v3 = ROTATE(v3, 21) ^ v0; v2 = ROTATE(v2, 32);
#define SIP_WORD(k) v3 ^= word[k][i]; SIP_ROUND SIP_ROUND v0 ^= word[k][i];

/* Several positions at a time, as one SipHash alone leaves most of the core idle; every round is
 * written out, as only a loop without inner loops becomes vector instructions. */
VECTORISED static void prf(const Cutter *c, const size_t ends[BATCH], uint64_t *restrict values) {
    const uint64_t key0 = c->key0, key1 = c->key1;
    uint64_t word[PRF_WINDOW / 8 + 1][BATCH];
    for (size_t i = 0; i < BATCH; i++) {
        const uint8_t *window = c->data + ends[i] - PRF_WINDOW;
        for (size_t k = 0; k < PRF_WINDOW / 8; k++) word[k][i] = load64(window + 8 * k);
        word[PRF_WINDOW / 8][i] = (uint64_t)PRF_WINDOW << 56;
    }
    for (size_t i = 0; i < BATCH; i++) {
        uint64_t v0 = key0 ^ 0x736f6d6570736575u, v1 = key1 ^ 0x646f72616e646f6du;
        uint64_t v2 = key0 ^ 0x6c7967656e657261u, v3 = key1 ^ 0x7465646279746573u;
        SIP_WORD(0) SIP_WORD(1) SIP_WORD(2) SIP_WORD(3)
        SIP_WORD(4) SIP_WORD(5) SIP_WORD(6) SIP_WORD(7) SIP_WORD(8)
        v2 ^= 0xff;
        SIP_ROUND SIP_ROUND SIP_ROUND SIP_ROUND
        values[i] = v0 ^ v1 ^ v2 ^ v3;
    }
}

/* Return the first of `count` proposed ends that is a cut, or NOWHERE. */
static size_t decide(const Cutter *c, size_t start, size_t ends[BATCH], int count) {
    uint64_t values[BATCH];
    for (int i = count; i < BATCH; i++) ends[i] = ends[0];
    prf(c, ends, values);
    for (int i = 0; i < count; i++) {
        if (values[i] < (ends[i] - start < c->average_size ? c->hard : c->easy)) return ends[i];
    }
    return NOWHERE;
}

/* ---- proposals: positions where the gear hash hits ---- */

/* Flag the hits among `size` positions, two to a byte; the first one's window begins at p. The span
 * of bytes that a hash covers is doubled four times instead of rolled: no chain of dependencies.
 * (GCC 12 makes this three times slower where it knows `size`.) */
VECTORISED static void flag_hits(const uint16_t gear[3], const uint8_t *restrict p, size_t size,
                                 uint8_t *restrict flags) {
    const uint16_t add = gear[0], first = gear[1], second = gear[2];
    uint16_t a[BLOCK / 2 + 16], b[BLOCK / 2 + 16];
    const size_t half = size / 2;
    memset(flags, 0, half);
    for (size_t odd = 0; odd < 2; odd++) {
        const uint8_t flag = (uint8_t)(1 + odd);
        UNROLLED for (size_t j = 0; j < half + 15; j++) {
            uint16_t x = (uint16_t)(load16(p + odd + 2 * j) + add);
            x = (uint16_t)((unsigned)x * first);
            x = (uint16_t)(x ^ x >> 8);
            a[j] = (uint16_t)((unsigned)x * second);
        }
        UNROLLED for (size_t j = 0; j < half + 14; j++) b[j] = (uint16_t)(2u * a[j] + a[j + 1]);
        UNROLLED for (size_t j = 0; j < half + 12; j++) a[j] = (uint16_t)(4u * b[j] + b[j + 2]);
        UNROLLED for (size_t j = 0; j < half + 8; j++) b[j] = (uint16_t)(16u * a[j] + a[j + 4]);
        UNROLLED for (size_t j = 0; j < half; j++)
            flags[j] |= (uint16_t)(256u * b[j] + b[j + 8]) < HIT_BELOW ? flag : 0;
    }
}

static void scan_block(Cutter *c, size_t begin) {
    uint8_t padded[BLOCK + GEAR_WINDOW], flags[BLOCK / 2];
    const uint8_t *p = c->data + begin - GEAR_WINDOW;
    size_t size = c->average_size < LARGE_AVERAGE ? SMALL_BLOCK : BLOCK;
    size_t count = c->length - begin < size ? c->length - begin + 1 : size;
    if (count < size) { /* the end of the buffer: nothing behind it may be read */
        memset(padded, 0, sizeof padded);
        p = memcpy(padded, p, count + GEAR_WINDOW - 1);
    }
    flag_hits(c->gear, p, size, flags);
    c->hit_count = 0;
    for (size_t j = 0; j < size / 2; j += 8) {
        for (uint64_t word = load64(flags + j); word; word &= word - 1) {
            size_t bit = (size_t)__builtin_ctzll(word), i = 2 * (j + bit / 8) + bit % 8;
            if (i < count) c->hits[c->hit_count++] = (uint16_t)i;
        }
    }
    c->block_begin = begin;
    c->block_end = begin + count;
}

/* Return the first content-defined cut in [first, stop], or NOWHERE. */
static size_t search(Cutter *c, size_t start, size_t first, size_t stop) {
    size_t position = first - (SPACING - 1), last_hit = position - SPACING, pending[BATCH];
    int count = 0;
    while (position <= stop) {
        if (position < c->block_begin || position >= c->block_end) scan_block(c, position);
        for (size_t i = 0; i < c->hit_count; i++) {
            size_t hit = c->block_begin + c->hits[i];
            if (hit < position) continue;
            if (hit > stop) break;
            if (hit - last_hit >= SPACING && hit >= first) pending[count++] = hit;
            last_hit = hit;
            if (count < BATCH) continue;
            size_t cut = decide(c, start, pending, count);
            if (cut != NOWHERE) return cut;
            count = 0;
        }
        position = c->block_end;
    }
    return count ? decide(c, start, pending, count) : NOWHERE;
}

/* ---- runs of zeros ---- */

/* Return the least end such that data[end:high] is all zeros and end >= low. */
static size_t zeros_before(const uint8_t *data, size_t low, size_t high) {
    while (high - low >= 64) {
        uint64_t any = 0;
        for (size_t i = 0; i < 64; i += 8) any |= load64(data + high - 64 + i);
        if (any) break;
        high -= 64;
    }
    while (high > low && data[high - 1] == 0) high--;
    return high;
}

/* Find the first run of max_size zeros from `from` on. Looking at the last byte of where it could
 * be first, as Boyer and Moore do, costs one byte per max_size where there are no zeros. A run that
 * the end of the buffer interrupts is undecided. */
static void find_run(Cutter *c, size_t from) {
    size_t zeros_end = from; /* data[from:zeros_end] is all zeros */
    c->run_known = c->run_decided = 1;
    while (c->length - from >= c->max_size) {
        size_t high = from + c->max_size, low = zeros_before(c->data, zeros_end, high);
        c->run = from;
        if (low == zeros_end) return;
        from = low;
        zeros_end = high;
    }
    c->run = NOWHERE;
    if (c->final) return;
    size_t low = zeros_before(c->data, zeros_end, c->length);
    if (low == zeros_end) low = from;
    if (low < c->length) {
        c->run = low;
        c->run_decided = 0;
    }
}

/* ---- cuts ---- */

/* Return the end of the chunk that begins at `start` < length, or NOWHERE if it is undecided. */
static size_t next_cut(Cutter *c, size_t start) {
    size_t limit = c->length - start > c->max_size ? start + c->max_size : c->length;
    size_t stop = limit, run = NOWHERE;
    if (c->zero_runs) {
        if (!c->run_known || c->run < start) find_run(c, start);
        run = c->run;
        if (run == start) return c->run_decided ? start + c->max_size : NOWHERE;
        if (run < stop) stop = run;
    }
    if (stop - start >= c->min_size) {
        size_t cut = search(c, start, start + c->min_size, stop);
        if (cut != NOWHERE) return cut;
    }
    if (run < limit) return c->run_decided ? run : NOWHERE;
    return limit - start == c->max_size || c->final ? limit : NOWHERE;
}

/* Find all cuts; return 0, or -1 when memory ran out. The caller frees *cuts. Needs no GIL. */
static int find_all(Cutter *c, size_t **cuts, size_t *count) {
    size_t capacity = 0, start = 0;
    while (start < c->length) {
        size_t cut = next_cut(c, start);
        if (cut == NOWHERE) break;
        if (*count == capacity) {
            capacity = capacity ? 2 * capacity : 128;
            size_t *grown = realloc(*cuts, capacity * sizeof **cuts);
            if (!grown) return -1;
            *cuts = grown;
        }
        (*cuts)[(*count)++] = start = cut;
    }
    return 0;
}

static PyObject *list_of(const size_t *cuts, size_t count) {
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list && i < count; i++) {
        PyObject *number = PyLong_FromSize_t(cuts[i]);
        if (!number || PyList_SetItem(list, (Py_ssize_t)i, number) < 0) Py_CLEAR(list);
    }
    return list;
}

static PyObject *find_cuts(PyObject *module, PyObject *args) {
    Py_buffer data, key;
    Py_ssize_t length, sizes[3];
    unsigned long long hard, easy;
    int final, zero_runs, status = 0;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*np(nnn)(KK)y*p:find_cuts", &data, &length, &final, &sizes[0],
                          &sizes[1], &sizes[2], &hard, &easy, &key, &zero_runs))
        return NULL;
    PyObject *result = NULL;
    size_t *cuts = NULL, count = 0;
    const char *problem = NULL;
    if (length < 0 || length > data.len) problem = "length must lie within the buffer";
    if (sizes[0] < PRF_WINDOW || sizes[0] > sizes[1] || sizes[1] > sizes[2] || key.len != 16 + 6)
        problem = "impossible parameters";
    if (problem) {
        PyErr_SetString(PyExc_ValueError, problem);
        goto done;
    }
    const uint8_t *k = key.buf;
    Cutter c = {.data = data.buf, .length = (size_t)length, .final = final, .zero_runs = zero_runs,
                .min_size = (size_t)sizes[0], .average_size = (size_t)sizes[1],
                .max_size = (size_t)sizes[2], .hard = hard, .easy = easy,
                .key0 = load64(k), .key1 = load64(k + 8),
                .gear = {load16(k + 16), load16(k + 18), load16(k + 20)}};
    if (length < KEEP_GIL_BELOW) {
        status = find_all(&c, &cuts, &count);
    } else {
        Py_BEGIN_ALLOW_THREADS
        status = find_all(&c, &cuts, &count);
        Py_END_ALLOW_THREADS
    }
    result = status == 0 ? list_of(cuts, count) : PyErr_NoMemory();
done:
    free(cuts);
    PyBuffer_Release(&data);
    PyBuffer_Release(&key);
    return result;
}

static PyMethodDef methods[] = {
    {"find_cuts", find_cuts, METH_VARARGS, "Return the ends of all decided chunks."},
    {NULL, NULL, 0, NULL}};
static PyModuleDef_Slot slots[] = {{0, NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_gear", "Fast form of _gear_py.", 0, methods, slots, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit__gear(void) { return PyModuleDef_Init(&definition); }
