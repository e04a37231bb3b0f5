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

    db = db_open(&home);

    return db != NULL ? 0 : -1;
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
    db = db_open(&home);
    assert_non_null(db);
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
    uint8_t  sig[VMOPS_SIG] = { 1 };

    return journal_ended(db, &cmd->id, "succeeded", vmops_span(NULL, 0),
                         vmops_span_str("{\"v\":1}"), sig);
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
    assert_int_equal(journal_last_seq(db), 5);
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
    assert_int_equal(journal_last_seq(db), 9);
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
    assert_int_equal(journal_last_seq(db), 0);
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
    assert_int_equal(journal_epoch(db), 12);

    /* the same agent with new keys keeps its past */
    assert_int_equal(journal_paired(db, &agent), 0);
    assert_int_equal(journal_epoch(db), 0);
    assert_int_equal(journal_last_seq(db), 7);
    assert_int_equal(open_ones(), 1);

    /* another one has none */
    assert_int_equal(journal_paired(db, &other), 0);
    assert_int_equal(journal_last_seq(db), 0);
    assert_int_equal(open_ones(), 0);
}


static void
two_programs_share_it(UNUSED void **state)
{
    db_t         *other = db_open(&home);
    vmops_cmd_t   cmd = command(1, 1);

    assert_non_null(other);
    assert_int_equal(take_in(&cmd, 1), INTAKE_NEW);
    assert_int_equal(journal_last_seq(other), 1);
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
        T(two_programs_share_it),
    };

    return RUN(tests);
}
