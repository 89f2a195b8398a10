"""An official Snowflake connector judges the stand-in service: whatever it cannot work with, no client of ours should.

Usage: judge_connector.py PORT
Works with the connector's 4.8 and 5.2 lines (requirements-48.txt, requirements-52.txt). Prints `N passed, 0 failed`.
"""

import datetime
import decimal
import json
import logging
import sys
import time
import traceback
import urllib.request
import warnings

import snowflake.connector

PORT = int(sys.argv[1])
PATIENCE = 30
VERSION = tuple(int(part) for part in snowflake.connector.__version__.split(".")[:2])


def control(path, body=None, method=None):
    """Talks to the service's control endpoint."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}/fake/{path}", data=data, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)


def connect(**options):
    return snowflake.connector.connect(
        account="acct",
        user="judge",
        password="secret",
        host="127.0.0.1",
        port=PORT,
        protocol="http",
        session_parameters={"QUERY_TAG": "judged", **options},
    )


def rows(connection, sql):
    with connection.cursor() as cursor:
        return cursor.execute(sql).fetchall()


def submit(connection, sql):
    cursor = connection.cursor()
    cursor.execute_async(sql)
    return cursor.sfqid


def wait_for_status(connection, query_id, *wanted):
    """Waits for one of the wanted states and returns all that were seen on the way."""
    seen, end = [], time.monotonic() + PATIENCE
    while time.monotonic() < end:
        status = connection.get_query_status(query_id).name
        if not seen or seen[-1] != status:
            seen.append(status)
        if status in wanted:
            return seen
        time.sleep(0.05)
    raise AssertionError(f"{query_id} never became one of {wanted}: {seen}")


def a_sync_statement_returns_its_row(connection):
    with connection.cursor() as cursor:
        cursor.execute("select 7 as a, 'x' as b")
        assert [column.name for column in cursor.description] == ["A", "B"], cursor.description
        assert cursor.fetchall() == [(7, "x")]


def an_async_statement_is_followed_to_its_result(connection):
    query_id = submit(connection, "select 41 + 1 as a /* fake: queued=1 resuming=1 runs=1 */")
    seen = wait_for_status(connection, query_id, "SUCCESS")
    assert "RUNNING" in seen and "QUEUED" in seen and "RESUMING_WAREHOUSE" in seen, seen
    with connection.cursor() as cursor:
        cursor.get_results_from_sfqid(query_id)
        assert cursor.fetchall() == [(42,)]


def an_async_result_is_waited_for(connection):
    query_id = submit(connection, "select system$wait(1), 5")
    with connection.cursor() as cursor:
        cursor.get_results_from_sfqid(query_id)
        assert cursor.fetchone()[1] == 5


def a_long_sync_statement_is_polled(connection):
    control("options", {"hold": 0.3})
    try:
        assert rows(connection, "select 3 /* fake: runs=1.2 */") == [(3,)]
    finally:
        control("options", {"hold": 45})


def a_result_in_chunks_is_complete(connection):
    control("options", {"inline_rows": 100, "chunk_rows": 700})
    try:
        # 5.2 knows no key without chunkHeaders.
        for keys in ("headers", "empty_headers", "none") + (("qrmk",) if VERSION < (5, 0) else ()):
            control("options", {"chunk_keys": keys})
            for name in ("ARROW", "JSON"):
                rows(connection, f"alter session set PYTHON_CONNECTOR_QUERY_RESULT_FORMAT = '{name}'")
                got = rows(connection, "select seq4() as n, 'x' as s from table(generator(rowcount => 5000))")
                assert len(got) == 5000 and sorted(n for n, _ in got) == list(range(5000)), (keys, name, len(got))
    finally:
        control("options", {"inline_rows": 1000, "chunk_rows": 10000, "chunk_keys": "headers"})
        rows(connection, "alter session unset PYTHON_CONNECTOR_QUERY_RESULT_FORMAT")


def an_empty_result_has_its_columns(connection):
    with connection.cursor() as cursor:
        assert cursor.execute("select 1 as a where 1 = 0").fetchall() == []
        assert cursor.description[0].name == "A"


def every_type_arrives(connection, name):
    rows(connection, f"alter session set PYTHON_CONNECTOR_QUERY_RESULT_FORMAT = '{name}'")
    with connection.cursor() as cursor:
        cursor.execute("select 1 /* fake: types rows=3 */")
        names = [column.name for column in cursor.description]
        usual, edge, null = (dict(zip(names, row)) for row in cursor.fetchall())
    assert all(value is None for value in null.values()), null
    assert usual["C_TINY"] == 42 and edge["C_NUMBER"] == -(10**38 - 1), (usual, edge)
    assert usual["C_DECIMAL"] == decimal.Decimal("1234.5678901234"), usual["C_DECIMAL"]
    assert usual["C_SHORT"] == decimal.Decimal("123.4") and usual["C_REAL"] == 1.5, usual
    assert usual["C_DECFLOAT"] == decimal.Decimal("123.45"), usual["C_DECFLOAT"]
    assert edge["C_DECFLOAT"] == decimal.Decimal("-7e200"), edge["C_DECFLOAT"]
    assert edge["C_TEXT"] == 'quote " newline \n ünï 雪 \U0001f600', edge["C_TEXT"]
    assert usual["C_BOOLEAN"] is True and edge["C_BOOLEAN"] is False, usual
    assert bytes(usual["C_BINARY"]) == b"\xde\xad" and bytes(edge["C_BINARY"]) == b"", usual
    assert usual["C_DATE"] == datetime.date(2020, 1, 1) and edge["C_DATE"] == datetime.date(1, 1, 1), edge
    assert usual["C_TIME"] == datetime.time(23, 1, 59), usual["C_TIME"]
    assert usual["C_NTZ"] == datetime.datetime(2021, 3, 19, 17, 13, 39, 123456), usual["C_NTZ"]
    assert usual["C_NTZ3"] == datetime.datetime(2021, 3, 19, 17, 13, 39, 123000), usual["C_NTZ3"]
    assert edge["C_NTZ"] == datetime.datetime(1969, 12, 31, 23, 59, 58, 500000), edge["C_NTZ"]
    assert usual["C_LTZ"].timestamp() == 1616174019.123456, usual["C_LTZ"]
    assert usual["C_TZ"].utcoffset() == datetime.timedelta(hours=1), usual["C_TZ"]
    assert usual["C_TZ"].timestamp() == 1616174019.123456, usual["C_TZ"]
    assert edge["C_TZ"].utcoffset() == datetime.timedelta(hours=-8), edge["C_TZ"]
    assert usual["C_TZ3"].timestamp() == 1616174019.123, usual["C_TZ3"]
    assert json.loads(usual["C_VARIANT"]) == {"a": [1, None]}, usual["C_VARIANT"]
    assert json.loads(usual["C_OBJECT"]) == {"k": "v"} and json.loads(edge["C_ARRAY"]) == [], usual
    assert json.loads(usual["C_GEOGRAPHY"])["type"] == "Point", usual["C_GEOGRAPHY"]
    assert list(usual["C_VECTOR"]) == [1.5, -2.0], usual["C_VECTOR"]
    rows(connection, "alter session unset PYTHON_CONNECTOR_QUERY_RESULT_FORMAT")


def every_type_arrives_in_json(connection):
    every_type_arrives(connection, "JSON")


def every_type_arrives_in_arrow(connection):
    every_type_arrives(connection, "ARROW")


def a_wrong_statement_is_refused(connection):
    for sql, number, state in (
        ("select * from missing", 2003, "42S02"),
        ("select missing", 904, "42000"),
        ("selec 1", 1003, "42000"),
        ("select 1; select 2", 8, "0A000"),
    ):
        try:
            rows(connection, sql)
        except snowflake.connector.errors.ProgrammingError as error:
            assert (error.errno, error.sqlstate) == (number, state), (sql, error.errno, error.sqlstate)
        else:
            raise AssertionError(f"{sql} was not refused")


def a_statement_that_fails_later_is_an_error(connection):
    query_id = submit(connection, "select 1 /* fake: runs=0.3 fails=100051 */")
    wait_for_status(connection, query_id, "FAILED_WITH_ERROR")
    try:
        connection.get_query_status_throw_if_error(query_id)
    except snowflake.connector.errors.ProgrammingError as error:
        assert "Division by zero" in str(error), error
    else:
        raise AssertionError("the failure went by unseen")


def an_expired_token_is_renewed(connection):
    before = len([entry for entry in control("log") if entry["event"] == "renew"])
    control("sessions", {"expire": "session"})
    assert rows(connection, "select 8") == [(8,)]
    renewals = [entry for entry in control("log") if entry["event"] == "renew"]
    assert len(renewals) == before + 1, renewals


def a_gateway_error_is_retried_with_the_same_request(connection):
    control("faults", {"endpoint": "submit", "fault": "status", "status": 503, "times": 2, "holding": "select 9"})
    assert rows(connection, "select 9") == [(9,)]
    attempts = [entry for entry in control("log") if entry["event"] == "submit"][-3:]
    assert len({entry["request_id"] for entry in attempts}) == 1, attempts


def an_answer_lost_after_the_effect_runs_once(connection):
    control("faults", {"endpoint": "submit", "fault": "lost", "after_effect": True, "holding": "select 10"})
    assert rows(connection, "select 10") == [(10,)]
    runs = [entry for entry in control("log") if entry["event"] == "execute" and entry["sql"] == "select 10"]
    assert len(runs) == 1, runs


def an_abort_ends_the_statement(connection):
    query_id = submit(connection, "select system$wait(60) /* fake: aborting=0.3 */")
    wait_for_status(connection, query_id, "RUNNING")
    with connection.cursor() as cursor:
        if VERSION >= (5, 0):
            cursor.abort_query(query_id)
        else:
            cursor.execute(f"select system$cancel_query('{query_id}')")
            assert "terminated" in cursor.fetchone()[0]
    seen = wait_for_status(connection, query_id, "ABORTED")
    assert seen[-1] == "ABORTED", seen
    assert control(f"queries/{query_id}")["error"]["code"] == "000604"


def an_abort_by_request_ends_a_sync_statement(connection):
    """4.8 aborts by request id when its timeout passes; 5.2 has no such call."""
    if VERSION >= (5, 0):
        return
    control("options", {"hold": 0.2})
    try:
        with connection.cursor() as cursor:
            cursor.execute("select system$wait(60) as slow", timeout=1)
    except snowflake.connector.errors.ProgrammingError as error:
        assert error.errno == 604, error
    else:
        raise AssertionError("it was not aborted")
    finally:
        control("options", {"hold": 45})
    slow = [query for query in control("queries") if query["sql"] == "select system$wait(60) as slow"][-1]
    assert slow["status"] == "ABORTED" and slow["calls"]["cancel"] >= 1, slow


def an_unknown_statement_has_no_data(connection):
    assert connection.get_query_status("01b00000-0000-0000-0000-000000000000").name == "NO_DATA"


def the_session_keeps_what_was_set(connection):
    rows(connection, "use role analyst")
    assert rows(connection, "select current_role()") == [("ANALYST",)]
    rows(connection, "alter session set QUERY_TAG = 'other tag'")
    shown = rows(connection, "show parameters like 'QUERY_TAG'")
    assert shown[0][1] == "other tag", shown


def tables_hold_rows(connection):
    rows(connection, "drop table if exists t")
    rows(connection, "create table t(a int, b text)")
    with connection.cursor() as cursor:
        cursor.execute("insert into t values (1, 'x'), (2, 'y')")
        assert cursor.rowcount == 2, cursor.rowcount
    assert rows(connection, "select a, b from t order by a") == [(1, "x"), (2, "y")]


def the_history_finds_a_statement_by_its_tag(connection):
    sql = "select query_id, query_text from table(snowflake.information_schema.query_history_by_user(result_limit => 50)) where query_tag = 'judged'"
    assert any(text == "select 7 as a, 'x' as b" for _, text in rows(connection, sql))


def a_second_connection_takes_over(connection):
    query_id = submit(connection, "select 11 /* fake: runs=0.5 */")
    other = connect()
    wait_for_status(other, query_id, "SUCCESS")
    with other.cursor() as cursor:
        cursor.get_results_from_sfqid(query_id)
        assert cursor.fetchall() == [(11,)]
    other.close()


def a_wrong_password_is_refused(_connection):
    control("credentials", {"revoke": ["secret"]})
    try:
        connect()
    except snowflake.connector.errors.Error as error:
        assert "Incorrect username or password" in str(error), error
    else:
        raise AssertionError("the password was taken")
    finally:
        control("credentials", {"restore": ["secret"]})


JUDGEMENTS = [
    a_sync_statement_returns_its_row,
    an_async_statement_is_followed_to_its_result,
    an_async_result_is_waited_for,
    a_long_sync_statement_is_polled,
    a_result_in_chunks_is_complete,
    an_empty_result_has_its_columns,
    every_type_arrives_in_json,
    every_type_arrives_in_arrow,
    a_wrong_statement_is_refused,
    a_statement_that_fails_later_is_an_error,
    an_expired_token_is_renewed,
    a_gateway_error_is_retried_with_the_same_request,
    an_answer_lost_after_the_effect_runs_once,
    an_abort_ends_the_statement,
    an_abort_by_request_ends_a_sync_statement,
    an_unknown_statement_has_no_data,
    the_history_finds_a_statement_by_its_tag,
    the_session_keeps_what_was_set,
    tables_hold_rows,
    a_second_connection_takes_over,
    a_wrong_password_is_refused,
]


def main():
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    connection = connect()
    failed = 0
    for judgement in JUDGEMENTS:
        try:
            judgement(connection)
        except Exception:
            failed += 1
            print(f"FAILED {judgement.__name__}", flush=True)
            traceback.print_exc(file=sys.stdout)
        finally:
            control("faults", method="DELETE")
    connection.close()
    assert any(entry["event"] == "logout" for entry in control("log")), "the connector never logged out"
    print(f"{snowflake.connector.__version__}: {len(JUDGEMENTS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
