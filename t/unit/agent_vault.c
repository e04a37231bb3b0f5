/*
 * The vault opens exactly what was sealed here, of the version that is asked
 * for; everything else has its own error.
 */

#include "agent_home.h"

#include "journal.h"
#include "vault.h"


static const char       token[] = "11111111-2222-3333-4444-555555555555";
static db_t            *db;
static identity_t      *id;
static vault_t         *vault;
static vault_entry_t    entry;
static sealed_secret_t  first, second, third;


static void
seal_next(const char *secret, sealed_secret_t *out)
{
    assert_int_equal(vault_seal(vault, &entry, vmops_span_str(secret),
                                vmops_span(NULL, 0), out), 0);
    assert_int_equal(vault_stored(vault, &entry), 0);
}


static int
setup(void **state)
{
    uint8_t  kid[32];

    if (home_setup(state) != 0) {
        return -1;
    }

    id = identity_new();
    if (db_open(&db, &home) != 0 || id == NULL) {
        return -1;
    }

    snprintf(id->tenant, sizeof(id->tenant), "acme");
    identity_make_keys(id);
    if (identity_save(id, &home) != 0) {
        return -1;
    }

    vault = vault_new(&home, db, id);
    if (vault == NULL || vault_keys(vault, kid) != 0) {
        return -1;
    }

    memset(&entry, 0, sizeof(entry));
    entry.kind = VMOPS_KIND_PROXMOX_TOKEN;
    memset(&entry.id, 7, sizeof(entry.id));
    snprintf(entry.label, sizeof(entry.label), "pve1");
    snprintf(entry.endpoint.user, sizeof(entry.endpoint.user), "a@pve!b");
    snprintf(entry.endpoint.host, sizeof(entry.endpoint.host), "pve1.lan");
    entry.endpoint.port = 8006;
    entry.endpoint.pins_n = 1;

    seal_next(token, &first);

    return 0;
}


static int
teardown(void **state)
{
    vault_free(vault);
    db_close(db);
    identity_free(id);

    return home_teardown(state);
}


/* -1: it opens, and is the secret; otherwise the error */

static int
opened(uint64_t version, const sealed_secret_t *in, const char *secret)
{
    opened_t               o;
    vmops_command_error_t  error;

    if (vault_unseal(vault, &entry.id, version, in, &o, &error) != 0) {
        return (int) error;
    }

    assert_span(o.s.secret, secret);
    assert_span(vmops_span_str(o.endpoint.host), "pve1.lan");
    assert_true(redact_found(vmops_span_str(secret)));
    vault_close(&o);
    assert_false(redact_found(vmops_span_str(secret)));

    return -1;
}


static void
what_was_sealed_opens(UNUSED void **state)
{
    assert_int_equal(opened(1, &first, token), -1);
}


static void
each_changed_byte_is_tampering(UNUSED void **state)
{
    size_t  i;

    for (i = 0; i < first.ciphertext_n; i++) {
        first.ciphertext[i] ^= 1;
        assert_int_equal(opened(1, &first, token),
                         VMOPS_CMDERR_secret_tampered);
        first.ciphertext[i] ^= 1;
    }

    for (i = 0; i < sizeof(first.nonce); i++) {
        first.nonce[i] ^= 1;
        assert_int_equal(opened(1, &first, token),
                         VMOPS_CMDERR_secret_tampered);
        first.nonce[i] ^= 1;
    }

    first.created_ms++;
    assert_int_equal(opened(1, &first, token), VMOPS_CMDERR_secret_tampered);
    first.created_ms--;
    first.aad_meta[3] ^= 1;
    assert_int_equal(opened(1, &first, token), VMOPS_CMDERR_secret_tampered);
    first.aad_meta[3] ^= 1;
    snprintf(first.alg, sizeof(first.alg), "none");
    assert_int_equal(opened(1, &first, token), VMOPS_CMDERR_secret_tampered);
    snprintf(first.alg, sizeof(first.alg), VMOPS_ENVELOPE_ALG);

    assert_int_equal(opened(1, &first, token), -1);
}


static void
the_version_before_still_opens_for_its_commands(UNUSED void **state)
{
    seal_next("the second one", &second);

    assert_int_equal(opened(2, &second, "the second one"), -1);
    assert_int_equal(opened(1, &first, token), -1);
}


static void
an_old_ciphertext_for_the_new_version_is_a_roll_back(UNUSED void **state)
{
    seal_next("the second one", &second);

    assert_int_equal(opened(2, &first, token),
                     VMOPS_CMDERR_secret_rolled_back);
}


static void
an_old_version_is_a_roll_back(UNUSED void **state)
{
    seal_next("the second one", &second);
    seal_next("the third one", &third);

    assert_int_equal(opened(1, &first, token),
                     VMOPS_CMDERR_secret_rolled_back);
}


static void
a_version_never_made_here_is_tampering(UNUSED void **state)
{
    assert_int_equal(opened(2, &first, token), VMOPS_CMDERR_secret_tampered);
    assert_int_equal(opened(0, &first, token),
                     VMOPS_CMDERR_secret_rolled_back);
}


static void
another_secrets_ciphertext_is_tampering(UNUSED void **state)
{
    vmops_uuid_t  mine = entry.id;

    memset(&entry.id, 8, sizeof(entry.id));
    memset(&entry.current, 0, sizeof(entry.current));
    seal_next("of the other", &second);
    entry.id = mine;

    assert_int_equal(opened(1, &second, "of the other"),
                     VMOPS_CMDERR_secret_tampered);
}


static void
an_upload_whose_answer_was_lost_can_be_opened(UNUSED void **state)
{
    assert_int_equal(vault_seal(vault, &entry, vmops_span_str("not told"),
                                vmops_span(NULL, 0), &second), 0);

    assert_int_equal(opened(1, &first, token), -1);
    assert_int_equal(opened(2, &second, "not told"), -1);

    assert_int_equal(vault_not_stored(vault, &entry), 0);
    assert_int_equal(opened(2, &second, "not told"),
                     VMOPS_CMDERR_secret_tampered);
}


static void
an_unknown_secret_is_unreadable(UNUSED void **state)
{
    memset(&entry.id, 9, sizeof(entry.id));
    assert_int_equal(opened(1, &first, token), VMOPS_CMDERR_secret_unreadable);
}


static void
a_row_changed_in_the_database_is_not_trusted(UNUSED void **state)
{
    db_lock(db);
    assert_int_equal(db_run(db, "UPDATE secrets SET label = 'x'", ""), 0);
    db_unlock(db);
    assert_int_equal(opened(1, &first, token), VMOPS_CMDERR_secret_unreadable);
}


static void
a_lost_keystore_makes_all_unreadable_until_re_entry(UNUSED void **state)
{
    char     before[VMOPS_KEY_ID_TEXT + 1], after[VMOPS_KEY_ID_TEXT + 1];
    uint8_t  kid[32];

    assert_int_equal(vault_readable(vault, before), 1);
    home_flip("keystore.bin", -1);

    assert_int_equal(vault_readable(vault, after), 0);
    assert_string_equal(after, before);
    assert_int_equal(opened(1, &first, token), VMOPS_CMDERR_secret_unreadable);
    assert_true(home_has("keystore.bin.unreadable"));

    /* the first one entered again makes new keys; its endpoint is known */
    assert_int_equal(vault_keys(vault, kid), 0);
    assert_int_equal(vault_entry(vault, &entry.id, &entry), 0);
    assert_int_equal(entry.readable, 0);
    seal_next("entered again", &second);

    assert_int_equal(vault_readable(vault, after), 1);
    assert_string_not_equal(after, before);
    assert_int_equal(opened(2, &second, "entered again"), -1);
    assert_int_equal(opened(1, &first, token), VMOPS_CMDERR_secret_unreadable);
}


static void
rotation_asked_is_kept_and_ends_with_the_next_version(UNUSED void **state)
{
    vault_entry_t  e;

    assert_int_equal(vault_ask_rotation(vault, &entry.id), 0);
    assert_int_equal(vault_entry(vault, &entry.id, &e), 0);
    assert_int_equal(e.rotate_asked, 1);
    assert_int_equal(e.readable, 1);

    seal_next("the second one", &second);
    assert_int_equal(vault_entry(vault, &entry.id, &e), 0);
    assert_int_equal(e.rotate_asked, 0);
}


int
main(void)
{
#define T(f)  cmocka_unit_test_setup_teardown(f, setup, teardown)

    const struct CMUnitTest  tests[] = {
        T(what_was_sealed_opens),
        T(each_changed_byte_is_tampering),
        T(the_version_before_still_opens_for_its_commands),
        T(an_old_ciphertext_for_the_new_version_is_a_roll_back),
        T(an_old_version_is_a_roll_back),
        T(a_version_never_made_here_is_tampering),
        T(another_secrets_ciphertext_is_tampering),
        T(an_upload_whose_answer_was_lost_can_be_opened),
        T(an_unknown_secret_is_unreadable),
        T(a_row_changed_in_the_database_is_not_trusted),
        T(a_lost_keystore_makes_all_unreadable_until_re_entry),
        T(rotation_asked_is_kept_and_ends_with_the_next_version),
    };

    return RUN(tests);
}
