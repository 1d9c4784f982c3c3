/* NumPy's files: every dtype and order that is read, what is written, and what is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "clients/forecast/npy.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

/* A file of version 1 with that header and those data, on memory of its exact size. */
static unsigned char *file_of(const char *header, const void *data, size_t n, size_t *ret_n) {
    size_t length = strlen(header);
    unsigned char *bytes = malloc(10 + length + n);

    assert_non_null(bytes);
    memcpy(bytes, "\x93NUMPY\x01\x00", 8);
    bytes[8] = (unsigned char)length;
    bytes[9] = (unsigned char)(length >> 8);
    memcpy(bytes + 10, header, length);
    if (n)
        memcpy(bytes + 10 + length, data, n);
    *ret_n = 10 + length + n;
    return bytes;
}

static void test_dtypes(void **state) {
    (void)state;
    static const struct {
        const char *descr, *data;
        size_t n;
        double value;
    } cases[] = {
        {"<f4", "\0\0\xc0\x3f", 4, 1.5},
        {">f4", "\x3f\xc0\0\0", 4, 1.5},
        {"=f4", "\0\0\xc0\x3f", 4, 1.5},
        {"<f8", "\0\0\0\0\0\0\xf8\xbf", 8, -1.5},
        {">f8", "\xbf\xf8\0\0\0\0\0\0", 8, -1.5},
        {"|i1", "\xfe", 1, -2},
        {"|u1", "\xfe", 1, 254},
        {"<i2", "\xfe\xff", 2, -2},
        {">i2", "\xff\xfe", 2, -2},
        {"<u2", "\xfe\xff", 2, 65534},
        {"<i4", "\xfe\xff\xff\xff", 4, -2},
        {"<i8", "\xfe\xff\xff\xff\xff\xff\xff\xff", 8, -2},
        {">i8", "\0\0\0\0\0\0\x01\x02", 8, 258},
        {"<u8", "\x02\x01\0\0\0\0\0\0", 8, 258},
        {"|b1", "\x01", 1, 1},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char header[128];
        struct npy npy;
        struct error err;
        size_t n;

        snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (), }\n", cases[i].descr);
        unsigned char *bytes = file_of(header, cases[i].data, cases[i].n, &n);
        if (npy_take(bytes, n, &npy, &err) != 0)
            fail_msg("%s: %s", cases[i].descr, err.text);
        assert_int_equal(npy.n, 1);
        assert_int_equal(npy.n_dims, 0);
        if (npy_value(&npy, 0) != cases[i].value)
            fail_msg("%s: %g is not %g", cases[i].descr, npy_value(&npy, 0), cases[i].value);
        npy_fini(&npy);
    }
}

/* The same 2 x 3 array, rows first and columns first. */
static void test_orders(void **state) {
    (void)state;
    static const char rows[] = {0, 1, 2, 10, 11, 12}, columns[] = {0, 10, 1, 11, 2, 12};
    static const char *const headers[] = {"{'descr': '|i1', 'fortran_order': False, 'shape': (2, 3), }",
                                          "{\"shape\":(2,3),\"fortran_order\":True,\"descr\":\"|i1\"}  \n"};

    for (int fortran = 0; fortran < 2; fortran++) {
        struct npy npy;
        struct error err;
        size_t n;
        unsigned char *bytes = file_of(headers[fortran], fortran ? columns : rows, 6, &n);

        assert_int_equal(npy_take(bytes, n, &npy, &err), 0);
        assert_int_equal(npy.n_dims, 2);
        assert_int_equal(npy.dims[0], 2);
        assert_int_equal(npy.dims[1], 3);
        for (size_t i = 0; i < 6; i++)
            assert_true(npy_value(&npy, i) == (double)rows[i]);
        npy_fini(&npy);
    }
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *header;
        size_t n_data;
        const char *reason;
    } cases[] = {
        {"{'descr': '<f2', 'fortran_order': False, 'shape': (1,), }", 2, "dtype \"<f2\""},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", 8, "dtype \"<c8\""},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", 8, "dtype \"|O\""},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", 4, "records"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", 11, "truncated"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", 13, "more bytes"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 4), }", 4, "larger than memory"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904,), }", 8, "truncated"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", 4, "shape cannot be read"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", 4, "shape cannot be read"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }", 4, "more than 8 dimensions"},
        {"{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,), }", 4, "runs fastest"},
        {"{'descr': '<f4', 'shape': (1,), }", 4, "lacks fortran_order"},
        {"{'fortran_order': False, 'shape': (1,), }", 4, "lacks descr"},
        {"{'descr': '<f4', 'fortran_order': False, }", 4, "lacks shape"},
        {"{'descr': '<f4', 'x': 1}", 4, "unknown key"},
        {"{'descr': '<f4", 4, "no"},
        {"descr", 4, "not a dictionary"},
        {"", 0, "not a dictionary"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct npy npy;
        struct error err;
        size_t n;
        unsigned char *bytes = file_of(cases[i].header, "0123456789abcdef", cases[i].n_data, &n);

        assert_int_equal(npy_take(bytes, n, &npy, &err), -1);
        if (!strstr(err.text, cases[i].reason))
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].header, err.text, cases[i].reason);
    }
}

/* Every beginning of a good file, and every byte of it changed, is refused or read: never beyond its end. */
static void test_mutations(void **state) {
    (void)state;
    static const char header[] = "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 1), }\n";
    size_t n;
    unsigned char *good = file_of(header, "01234567", 8, &n);

    for (size_t i = 0; i < 256 * n; i++) {
        size_t length = i < n ? i : n;
        unsigned char *bytes = malloc(length ? length : 1);
        struct npy npy;
        struct error err;

        assert_non_null(bytes);
        if (length)
            memcpy(bytes, good, length);
        if (i >= n)
            bytes[i % n] = (unsigned char)(i / n);
        if (npy_take(bytes, length, &npy, &err) != 0)
            continue;
        assert_int_equal(length, n);
        for (size_t k = 0; k < npy.n; k++)
            (void)npy_value(&npy, k);
        npy_fini(&npy);
    }
    free(good);
}

static void test_written(void **state) {
    (void)state;
    static const size_t dims[] = {2, 3};
    static const float data[] = {1, -0.0f, 3.25f, 1e-40f, 3e38f, -7};
    char path[] = "/tmp/test_npy.XXXXXX", start[128];
    struct npy npy;
    struct error err;
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(npy_write(path, 2, dims, data, &err), 0);
    assert_int_equal(read(fd, start, sizeof start), 128); /* what numpy.save writes */
    assert_memory_equal(start, "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }",
                        69);
    assert_int_equal(start[127], '\n');
    close(fd);
    assert_int_equal(npy_read(path, &npy, &err), 0);
    assert_int_equal(npy.n, 6);
    for (size_t i = 0; i < 6; i++) {
        float value = (float)npy_value(&npy, i);

        assert_memory_equal(&value, &data[i], sizeof value);
    }
    npy_fini(&npy);
    unlink(path);
    assert_int_equal(npy_read(path, &npy, &err), -1);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(npy_read("/tmp", &npy, &err), -1);
    assert_int_equal(npy_write("/nowhere/y.npy", 2, dims, data, &err), -1);
    assert_non_null(strstr(err.text, "/nowhere/y.npy"));
}

static void test_npz(void **state) {
    (void)state;
    char path[] = "/tmp/test_npz.XXXXXX";
    int fd = mkstemp(path), code;
    struct error err;
    struct npy npy;
    size_t n;
    unsigned char *bytes = file_of("{'descr': '|i1', 'fortran_order': False, 'shape': (3,), }", "\1\2\3", 3, &n);

    assert_true(fd >= 0);
    close(fd);
    assert_null(npz_open(path, &err)); /* nothing in it */
    zip_t *zip = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, &code);
    assert_non_null(zip);
    assert_true(zip_file_add(zip, "x.npy", zip_source_buffer(zip, bytes, n, 0), 0) >= 0);
    assert_true(zip_file_add(zip, "y.npy", zip_source_buffer(zip, "hello", 5, 0), 0) >= 0);
    assert_int_equal(zip_close(zip), 0);
    free(bytes);

    struct npz *npz = npz_open(path, &err);
    assert_non_null(npz);
    assert_true(npz_has(npz, "x"));
    assert_false(npz_has(npz, "z"));
    assert_int_equal(npz_read(npz, "x", &npy, &err), 0);
    assert_true(npy.n == 3 && npy_value(&npy, 2) == 3);
    npy_fini(&npy);
    assert_int_equal(npz_read(npz, "y", &npy, &err), -1);
    assert_non_null(strstr(err.text, "\"y\": it is not a .npy file"));
    assert_int_equal(npz_read(npz, "z", &npy, &err), -1);
    assert_non_null(strstr(err.text, "no array \"z\""));
    npz_close(npz);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dtypes),    cmocka_unit_test(test_orders),  cmocka_unit_test(test_refused),
        cmocka_unit_test(test_mutations), cmocka_unit_test(test_written), cmocka_unit_test(test_npz),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
