/*
 * The journal judges and writes in one step: nothing twice, nothing out of
 * order, and what it has survives a new start.
 */

#include "agent_home.h"

#include "journal.h"


static db_t  *db;


static int
setup(void **state)
{
    if (home_setup(state) != 0) {
        return -1;
    }

    return db_open(&db, &home);
}


static int
teardown(void **state)
{
    db_close(db);

    return home_teardown(state);
}


static void
start_again(void)
{
    db_close(db);
    assert_int_equal(db_open(&db, &home), 0);
}


static vmops_cmd_t
command(uint8_t n, uint64_t seq)
{
    vmops_cmd_t  cmd;

    memset(&cmd, 0, sizeof(cmd));
    memset(&cmd.id, n, sizeof(cmd.id));
    cmd.seq = seq;
    cmd.service = vmops_span_str("proxmox");
    cmd.action = vmops_span_str("start");

    return cmd;
}


static intake_t
take_in(const vmops_cmd_t *cmd, int fit)
{
    vmops_signed_frame_t  frame;

    memset(&frame, 0, sizeof(frame));
    frame.payload = vmops_span_str("{}");
    frame.key_id = vmops_span_str("c1");

    return journal_intake(db, cmd, &frame, fit);
}


static int
end(const vmops_cmd_t *cmd)
{
    uint8_t        sig[VMOPS_SIG] = { 1 };
    journal_row_t  end;

    memset(&end, 0, sizeof(end));
    end.status = vmops_span_str("succeeded");
    end.result = vmops_span_str("{\"v\":1}");
    end.result_sig = vmops_span(sig, sizeof(sig));

    return journal_ended(db, &cmd->id, &end);
}


static int
count(void *data, const journal_row_t *row)
{
    (void) row;
    ++*(int *) data;

    return 0;
}


static int
state_of(void *data, const journal_row_t *row)
{
    *(journal_state_t *) data = row->state;

    return 0;
}


static uint64_t
last_seq(db_t *of)
{
    uint64_t  seq;

    assert_int_equal(journal_last_seq(of, &seq), 0);

    return seq;
}


static uint64_t
epoch(void)
{
    uint64_t  n;

    assert_int_equal(journal_epoch(db, &n), 0);

    return n;
}


static int
outbox(void)
{
    int  n = 0;

    assert_int_equal(journal_outbox(db, count, &n), 0);

    return n;
}


static int
open_ones(void)
{
    int  n = 0;

    assert_int_equal(journal_open_ones(db, count, &n), 0);

    return n;
}


static void
a_command_is_taken_in_once(UNUSED void **state)
{
    vmops_cmd_t  cmd = command(1, 5);

    assert_int_equal(take_in(&cmd, 1), INTAKE_NEW);
    assert_int_equal(take_in(&cmd, 1), INTAKE_KNOWN);
    start_again();
    assert_int_equal(take_in(&cmd, 1), INTAKE_KNOWN);

    assert_int_equal(end(&cmd), 0);
    assert_int_equal(take_in(&cmd, 1), INTAKE_ENDED);
    assert_int_equal(last_seq(db), 5);
}


static void
numbers_only_grow(UNUSED void **state)
{
    vmops_cmd_t  five = command(1, 5), same = command(2, 5);
    vmops_cmd_t  four = command(3, 4), nine = command(4, 9);

    assert_int_equal(take_in(&five, 1), INTAKE_NEW);
    assert_int_equal(take_in(&same, 1), INTAKE_REPLAY);
    assert_int_equal(take_in(&four, 1), INTAKE_REPLAY);
    assert_int_equal(take_in(&nine, 1), INTAKE_NEW);
    start_again();
    assert_int_equal(take_in(&four, 1), INTAKE_REPLAY);
    assert_int_equal(last_seq(db), 9);
}


static void
an_idempotency_hash_is_taken_in_once(UNUSED void **state)
{
    vmops_cmd_t  a = command(1, 1), b = command(2, 2), c = command(3, 3);

    a.has_idem = b.has_idem = c.has_idem = 1;
    c.idem[0] = 1;

    assert_int_equal(take_in(&a, 1), INTAKE_NEW);
    assert_int_equal(take_in(&b, 1), INTAKE_REPLAY);
    assert_int_equal(take_in(&c, 1), INTAKE_NEW);
}


static void
what_is_unfit_is_not_written(UNUSED void **state)
{
    vmops_cmd_t  cmd = command(1, 5);

    assert_int_equal(take_in(&cmd, 0), INTAKE_UNFIT);
    assert_int_equal(last_seq(db), 0);
    assert_int_equal(open_ones(), 0);
    assert_int_equal(take_in(&cmd, 1), INTAKE_NEW);
    assert_int_equal(take_in(&cmd, 0), INTAKE_KNOWN);
}


static void
the_life_of_a_command_survives_starts(UNUSED void **state)
{
    vmops_cmd_t      cmd = command(1, 1);
    journal_state_t  s;

    assert_int_equal(take_in(&cmd, 1), INTAKE_NEW);
    start_again();
    assert_int_equal(journal_one(db, &cmd.id, state_of, &s), 0);
    assert_int_equal(s, JOURNAL_ACCEPTED);

    assert_int_equal(journal_started(db, &cmd.id), 0);
    start_again();
    assert_int_equal(journal_one(db, &cmd.id, state_of, &s), 0);
    assert_int_equal(s, JOURNAL_STARTED);

    assert_int_equal(journal_followed(db, &cmd.id, vmops_span_str("UPID:x:")),
                     0);
    start_again();
    assert_int_equal(journal_one(db, &cmd.id, state_of, &s), 0);
    assert_int_equal(s, JOURNAL_FOLLOWED);
    assert_int_equal(open_ones(), 1);

    assert_int_equal(end(&cmd), 0);
    assert_int_equal(open_ones(), 0);
    assert_int_equal(outbox(), 1);
    start_again();
    assert_int_equal(outbox(), 1);

    assert_int_equal(journal_confirmed(db, &cmd.id), 0);
    assert_int_equal(outbox(), 0);
    assert_int_equal(journal_again(db, &cmd.id), 0);
    assert_int_equal(outbox(), 1);
}


static void
only_the_last_confirmations_are_doubted(UNUSED void **state)
{
    int          i;
    vmops_cmd_t  cmd[3] = { command(1, 1), command(2, 2), command(3, 3) };

    for (i = 0; i < 3; i++) {
        assert_int_equal(take_in(&cmd[i], 1), INTAKE_NEW);
        assert_int_equal(end(&cmd[i]), 0);
    }

    assert_int_equal(journal_confirmed(db, &cmd[0].id), 0);
    assert_int_equal(journal_confirmed(db, &cmd[1].id), 0);
    assert_int_equal(outbox(), 1);
    assert_int_equal(journal_doubt(db), 0);
    assert_int_equal(outbox(), 3);

    /* the first one's time counts, however often it is confirmed */

    assert_int_equal(db_run(db, "UPDATE commands SET confirmed = confirmed - ?"
                            " WHERE id = ?", "iu",
                            (int64_t) JOURNAL_DOUBT_MS + 1, &cmd[0].id), 0);
    assert_int_equal(journal_confirmed(db, &cmd[0].id), 0);
    assert_int_equal(journal_confirmed(db, &cmd[1].id), 0);
    assert_int_equal(journal_confirmed(db, &cmd[2].id), 0);
    assert_int_equal(outbox(), 0);
    assert_int_equal(journal_doubt(db), 0);
    assert_int_equal(outbox(), 2);

    /* after a while nobody doubts */

    assert_int_equal(db_run(db, "UPDATE commands SET outbox = 0, confirmed ="
                            " confirmed - ?", "i",
                            (int64_t) JOURNAL_SURE_MS), 0);
    assert_int_equal(journal_doubt(db), 0);
    assert_int_equal(outbox(), 0);
}


static void
an_ended_command_is_not_begun_again(UNUSED void **state)
{
    vmops_cmd_t  cmd = command(1, 1), unknown = command(2, 2);

    assert_int_equal(take_in(&cmd, 1), INTAKE_NEW);
    assert_int_equal(end(&cmd), 0);
    assert_int_equal(journal_started(db, &cmd.id), -1);
    assert_int_equal(journal_started(db, &unknown.id), -1);
}


static void
an_epoch_survives_and_a_pairing_begins_anew(UNUSED void **state)
{
    vmops_cmd_t   cmd = command(1, 7);
    vmops_uuid_t  agent, other;

    memset(&agent, 1, sizeof(agent));
    memset(&other, 2, sizeof(other));

    assert_int_equal(journal_paired(db, &agent), 0);
    assert_int_equal(journal_set_epoch(db, 12), 0);
    assert_int_equal(take_in(&cmd, 1), INTAKE_NEW);
    start_again();
    assert_int_equal(epoch(), 12);

    /* the same agent with new keys keeps its past */
    assert_int_equal(journal_paired(db, &agent), 0);
    assert_int_equal(epoch(), 0);
    assert_int_equal(last_seq(db), 7);
    assert_int_equal(open_ones(), 1);

    /* another one has none */
    assert_int_equal(journal_paired(db, &other), 0);
    assert_int_equal(last_seq(db), 0);
    assert_int_equal(open_ones(), 0);
}


static void
a_journal_is_only_its_agents(UNUSED void **state)
{
    vmops_cmd_t   cmd = command(1, 7);
    vmops_uuid_t  agent, other;

    memset(&agent, 1, sizeof(agent));
    memset(&other, 2, sizeof(other));

    /* an empty one is nobody's, unless a pairing has come so far */
    assert_int_equal(journal_belongs(db, &agent), JOURNAL_LOST);
    assert_int_equal(journal_pairing(db, &agent), 0);
    assert_int_equal(journal_belongs(db, &other), JOURNAL_LOST);
    assert_int_equal(journal_belongs(db, &agent), 0);
    assert_int_equal(take_in(&cmd, 1), INTAKE_NEW);

    /* the next pairing may end before its identity is written, or after */
    assert_int_equal(journal_pairing(db, &other), 0);
    assert_int_equal(journal_belongs(db, &agent), 0);
    assert_int_equal(last_seq(db), 7);
    assert_int_equal(journal_belongs(db, &other), 0);
    assert_int_equal(last_seq(db), 0);
    assert_int_equal(journal_belongs(db, &agent), JOURNAL_LOST);
}


/* What cannot be read is not taken for what is not there. */

static void
without_memory_nothing_is_new(UNUSED void **state)
{
    int            i, errors = 0;
    uint64_t       n;
    intake_t       rc;
    vmops_cmd_t    known = command(1, 5), replay = command(2, 5);
    vmops_cmd_t    same = command(3, 9);

    known.has_idem = same.has_idem = 1;
    assert_int_equal(take_in(&known, 1), INTAKE_NEW);

    for (i = 0; i < 400; i++) {
        sqlite3_hard_heap_limit64(sqlite3_memory_used() + i * 64);

        rc = take_in(&known, 1);
        assert_true(rc == INTAKE_KNOWN || rc == INTAKE_ERROR);
        errors += rc == INTAKE_ERROR;
        rc = take_in(&replay, 1);
        assert_true(rc == INTAKE_REPLAY || rc == INTAKE_ERROR);
        rc = take_in(&same, 1);
        assert_true(rc == INTAKE_REPLAY || rc == INTAKE_ERROR);
        assert_true(journal_last_seq(db, &n) != 0 || n == 5);

        sqlite3_hard_heap_limit64(0);
    }

    assert_int_not_equal(errors, 0);
    assert_int_equal(take_in(&known, 1), INTAKE_KNOWN);
    assert_int_equal(last_seq(db), 5);
}


typedef struct {
    int      whole;
    int      broken;
    int64_t  rowid;
} wholes_t;


static int
look(void *data, const journal_row_t *row)
{
    wholes_t  *w = data;

    w->whole += row->whole;
    w->broken += !row->whole;
    if (!row->whole) {
        w->rowid = row->rowid;
    }

    return 0;
}


static void
a_row_that_is_not_whole_is_no_end(UNUSED void **state)
{
    size_t       i;
    wholes_t     w;
    vmops_cmd_t  cmd[3] = { command(1, 1), command(2, 2), command(3, 3) };

    static const char *const  damage[] = {
        "UPDATE commands SET id = 'x' WHERE seq = 2",
        "UPDATE commands SET id = x'00ff' WHERE seq = 2",
        "UPDATE commands SET seq = 'two' WHERE seq = 2",
        "UPDATE commands SET state = 7 WHERE seq = 2",
        "UPDATE commands SET state = 'x' WHERE seq = 2",
        "UPDATE commands SET state = -1 WHERE seq = 2",
        "UPDATE commands SET state = 2 WHERE seq = 2",      /* and no upid */
        "UPDATE commands SET started = 1 WHERE seq = 2",    /* not begun */
        "UPDATE commands SET sig = x'00' WHERE seq = 2",
        "UPDATE commands SET payload = 5 WHERE seq = 2",
        "UPDATE commands SET outbox = 9 WHERE seq = 2",
    };

    for (i = 0; i < COUNT(damage); i++) {
        assert_int_equal(db_run(db, "DELETE FROM commands", ""), 0);
        assert_int_equal(db_run(db, "DELETE FROM meta", ""), 0);
        assert_int_equal(take_in(&cmd[0], 1), INTAKE_NEW);
        assert_int_equal(take_in(&cmd[1], 1), INTAKE_NEW);
        assert_int_equal(take_in(&cmd[2], 1), INTAKE_NEW);
        assert_int_equal(db_run(db, damage[i], ""), 0);

        memset(&w, 0, sizeof(w));
        assert_int_equal(journal_open_ones(db, look, &w), 0);
        assert_int_equal(w.whole, 2);
        assert_int_equal(w.broken, 1);

        /* as it is into its own table, and then no more among them */
        assert_int_equal(journal_set_aside(db, w.rowid, NULL, NULL), 0);
        memset(&w, 0, sizeof(w));
        assert_int_equal(journal_open_ones(db, look, &w), 0);
        assert_int_equal(w.whole, 2);
        assert_int_equal(w.broken, 0);
    }

    /* an order from which nothing is left is still known by its number */
    assert_int_equal(take_in(&cmd[1], 1), INTAKE_REPLAY);
}


static void
what_is_no_database_is_kept(UNUSED void **state)
{
    int    i;
    char   path[PLAT_PATH_MAX];
    FILE  *f;

    assert_int_equal(home_path(path, home.state, "state.db"), 0);

    for (i = 0; i < 2; i++) {
        db_close(db);
        f = fopen(path, "wb");
        assert_non_null(f);
        fprintf(f, "%0*d", 8192, 1);
        fclose(f);

        assert_int_equal(db_open(&db, &home), DB_DAMAGED);
        assert_null(db);
        assert_int_equal(db_set_aside(&home), 0);
        assert_false(home_has("state.db"));
        assert_true(home_has(i == 0 ? "state.db.damaged"
                                    : "state.db.damaged.1"));
        assert_int_equal(db_open(&db, &home), 0);
    }
}


static void
one_wrong_page_is_found(UNUSED void **state)
{
    uint8_t      n;
    vmops_cmd_t  cmd;

    for (n = 1; n < 200; n++) {
        cmd = command(n, n);
        assert_int_equal(take_in(&cmd, 1), INTAKE_NEW);
    }

    assert_int_equal(db_check(db), 0);
    db_close(db);
    home_flip("state.db", 3 * 4096);
    assert_int_equal(db_open(&db, &home), 0);
    assert_int_equal(db_check(db), DB_DAMAGED);
}


static void
two_programs_share_it(UNUSED void **state)
{
    db_t         *other;
    vmops_cmd_t   cmd = command(1, 1);

    assert_int_equal(db_open(&other, &home), 0);
    assert_int_equal(take_in(&cmd, 1), INTAKE_NEW);
    assert_int_equal(last_seq(other), 1);
    db_close(other);
}


int
main(void)
{
#define T(f)  cmocka_unit_test_setup_teardown(f, setup, teardown)

    const struct CMUnitTest  tests[] = {
        T(a_command_is_taken_in_once),
        T(numbers_only_grow),
        T(an_idempotency_hash_is_taken_in_once),
        T(what_is_unfit_is_not_written),
        T(the_life_of_a_command_survives_starts),
        T(only_the_last_confirmations_are_doubted),
        T(an_ended_command_is_not_begun_again),
        T(an_epoch_survives_and_a_pairing_begins_anew),
        T(a_journal_is_only_its_agents),
        T(without_memory_nothing_is_new),
        T(a_row_that_is_not_whole_is_no_end),
        T(what_is_no_database_is_kept),
        T(one_wrong_page_is_found),
        T(two_programs_share_it),
    };

    return RUN(tests);
}
