/*
 * Sealed files: what was written is read; what cannot be read is kept under
 * another name and never written over.
 */

#include "agent_home.h"

#include <sys/stat.h>

#include "sealed_file.h"


#define NAME   "test.bin"
#define MAGIC  "VMOPSTST"

static const char  text[] = "what is sealed";


static sealed_rc_t
read_back(vmops_span_t *out)
{
    size_t          n = 0;
    sealed_rc_t     rc;
    static uint8_t  content[SEALED_CONTENT_MAX];

    rc = sealed_read(&home, NAME, MAGIC, content, sizeof(content), &n);
    *out = vmops_span(content, n);

    return rc;
}


static void
write_text(void)
{
    assert_int_equal(sealed_write(&home, NAME, MAGIC, vmops_span_str(text)),
                     0);
}


static void
what_was_written_is_read(UNUSED void **state)
{
    vmops_span_t  got;

    write_text();
    assert_int_equal(read_back(&got), SEALED_OK);
    assert_span(got, text);
}


static void
a_missing_file_is_none(UNUSED void **state)
{
    vmops_span_t  got;

    assert_int_equal(read_back(&got), SEALED_NONE);
    assert_false(home_has(NAME ".unreadable"));
}


static void
each_changed_byte_makes_it_unreadable(UNUSED void **state)
{
    char          path[PLAT_PATH_MAX];
    long          i, size;
    struct stat   st;
    vmops_span_t  got;

    assert_int_equal(home_path(path, home.state, NAME), 0);
    write_text();
    assert_int_equal(stat(path, &st), 0);
    size = (long) st.st_size;

    for (i = 0; i < size; i++) {
        write_text();
        home_flip(NAME, i);
        assert_int_equal(read_back(&got), SEALED_UNREADABLE);
        assert_false(home_has(NAME));
        assert_int_equal(read_back(&got), SEALED_NONE);

        assert_int_equal(home_path(path, home.state, NAME ".unreadable"), 0);
        assert_int_equal(unlink(path), 0);
    }

    write_text();
    assert_int_equal(read_back(&got), SEALED_OK);
}


static void
a_file_cut_off_is_unreadable(UNUSED void **state)
{
    char          path[PLAT_PATH_MAX];
    vmops_span_t  got;

    assert_int_equal(home_path(path, home.state, NAME), 0);
    write_text();
    assert_int_equal(truncate(path, 20), 0);
    assert_int_equal(read_back(&got), SEALED_UNREADABLE);
}


static void
a_second_unreadable_file_is_kept_beside_the_first(UNUSED void **state)
{
    vmops_span_t  got;

    write_text();
    home_flip(NAME, -1);
    assert_int_equal(read_back(&got), SEALED_UNREADABLE);

    write_text();
    home_flip(NAME, -1);
    assert_int_equal(read_back(&got), SEALED_UNREADABLE);

    assert_true(home_has(NAME ".unreadable"));
    assert_true(home_has(NAME ".unreadable.1"));
}


static void
another_magic_is_another_file(UNUSED void **state)
{
    size_t   n;
    uint8_t  content[64];

    write_text();
    assert_int_equal(sealed_read(&home, NAME, "VMOPSXXX", content,
                                 sizeof(content), &n), SEALED_UNREADABLE);
}


static void
without_the_wrapping_key_it_is_unreadable(UNUSED void **state)
{
    char          path[PLAT_PATH_MAX];
    vmops_span_t  got;

    write_text();
    assert_int_equal(home_path(path, home.config, "wrap.key"), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(read_back(&got), SEALED_UNREADABLE);
}


static void
a_wrapping_key_open_to_others_sets_nothing_aside(UNUSED void **state)
{
    char          path[PLAT_PATH_MAX];
    vmops_span_t  got;

    write_text();
    assert_int_equal(home_path(path, home.config, "wrap.key"), 0);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(read_back(&got), SEALED_ERROR);

    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(read_back(&got), SEALED_OK);
}


static void
nothing_in_the_file_shows_the_content(UNUSED void **state)
{
    char     path[PLAT_PATH_MAX];
    size_t   i, n;
    uint8_t  file[4096];

    write_text();
    assert_int_equal(home_path(path, home.state, NAME), 0);
    assert_int_equal(plat_read_file(path, file, sizeof(file), &n), 0);

    for (i = 0; i + 6 <= n; i++) {
        assert_memory_not_equal(file + i, "sealed", 6);
    }
}


int
main(void)
{
#define T(f)  cmocka_unit_test_setup_teardown(f, home_setup, home_teardown)

    const struct CMUnitTest  tests[] = {
        T(what_was_written_is_read),
        T(a_missing_file_is_none),
        T(each_changed_byte_makes_it_unreadable),
        T(a_file_cut_off_is_unreadable),
        T(a_second_unreadable_file_is_kept_beside_the_first),
        T(another_magic_is_another_file),
        T(without_the_wrapping_key_it_is_unreadable),
        T(a_wrapping_key_open_to_others_sets_nothing_aside),
        T(nothing_in_the_file_shows_the_content),
    };

    return RUN(tests);
}
