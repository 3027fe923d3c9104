/* Start, stop, reload, kill: what survives, what is refused. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lab.h"

static struct lab lab;

static void make_lab(void)
{
    lab_make(&lab, NULL);
}

static void remove_lab(void)
{
    lab_remove(&lab);
}

TestSuite(life, .init = make_lab, .fini = remove_lab, .timeout = 120);

Test(life, whole_exchange)
{
    lab_start(&lab);
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    mikeyd_client_close(client);
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    cr_assert_eq(lab_verify_audit(&lab), 0);
    cr_assert_eq(access(lab.socket, F_OK), -1, "the socket is left behind");
}

/* ---- start ---- */

Test(life, pin_file_that_others_can_read_is_refused)
{
    cr_assert_eq(chmod(lab.token.pin_file, 0644), 0);
    cr_assert_eq(lab_start_refused(&lab), 1);
    cr_assert(lab_file_gets(lab.log, "mode 0644"));
    cr_assert_eq(lab_count_in_file(lab.log, lab.token.pin), 0);
}

Test(life, second_daemon_on_the_same_files_is_refused)
{
    lab_start(&lab);
    cr_assert_eq(lab_start_refused(&lab), 6);
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    mikeyd_client_close(client);
}

Test(life, socket_in_a_folder_of_everybody_is_refused)
{
    char folder[LAB_PATH + 8];
    (void)snprintf(folder, sizeof folder, "%s/run", lab.dir);
    cr_assert_eq(chmod(folder, 0777), 0);
    cr_assert_eq(lab_start_refused(&lab), 6);
    cr_assert(lab_file_gets(lab.log, "can be written by others"));
}

Test(life, file_in_place_of_the_socket_is_not_removed)
{
    lab_write_file(lab.socket, "precious");
    cr_assert_eq(lab_start_refused(&lab), 6);
    cr_assert_eq(lab_count_in_file(lab.socket, "precious"), 1);
}

static void replace_in_config(const char *what, const char *with)
{
    char *text = lab_read_file(lab.config);
    char *at = strstr(text, what);
    cr_assert_not_null(at, "%s", text);
    *at = '\0';
    FILE *file = fopen(lab.config, "w");
    cr_assert(file != NULL && fprintf(file, "%s%s%s", text, with, at + strlen(what)) > 0);
    cr_assert_eq(fclose(file), 0);
    free(text);
}

Test(life, each_socket_has_its_own_mode)
{
    struct stat info;
    char second[LAB_PATH + 8];
    replace_in_config("listen: [", "listen: [{unix: run/own, mode: \"0600\"}, ");
    (void)snprintf(second, sizeof second, "%s/run/own", lab.dir);
    lab_start(&lab);
    cr_assert_eq(stat(second, &info), 0);
    cr_assert_eq(info.st_mode & 0777, 0600, "%o", info.st_mode);
    cr_assert_eq(stat(lab.socket, &info), 0);
    cr_assert_eq(info.st_mode & 0777, 0666, "%o", info.st_mode);
}

/* A container whose log nobody collects. */
Test(life, log_that_nobody_reads_stops_nothing)
{
    int ends[2], size;
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    size = fcntl(ends[1], F_SETPIPE_SZ, 4096);
    cr_assert(size > 0);
    lab_start_speaking_to(&lab, ends[1]);
    (void)close(ends[1]);
    mikeyd_client *client = lab_client(&lab);
    /* Each refused reload is a line. */
    lab_write_policy(&lab, "bogus: 1\n");
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(kill(lab.daemon, SIGHUP), 0);
        (void)usleep(5000);
    }
    lab_write_policy(&lab, "");
    lab_exchange(client);
    char *report = NULL;
    cr_assert_eq(mikeyd_client_status(client, false, &report), MIKEYD_OK);
    cr_assert_not_null(strstr(report, "\"log_lines_lost\":"), "%s", report);
    cr_assert_null(strstr(report, "\"log_lines_lost\":0"), "%s", report);
    free(report);
    mikeyd_client_close(client);
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    (void)close(ends[0]);
}

Test(life, unknown_field_is_refused_with_its_place)
{
    lab_write_config(&lab, &(struct lab_config){.extra = "worker: 3\n"});
    cr_assert_eq(lab_start_refused(&lab), 1);
    cr_assert(lab_file_gets(lab.log, "worker: unknown field"));
}

Test(life, missing_key_is_refused_by_name)
{
    lab_key_must(&lab, (const char *const[]){"destroy", "--kind", "psk", "--name", "pbx",
                                             "--generation", "1", "--yes", NULL});
    cr_assert_eq(lab_start_refused(&lab), 4);
    cr_assert(lab_file_gets(lab.log, "mikeyd/psk/pbx/1"));
}

Test(life, check_tells_and_serves_nothing)
{
    const char *const check[] = {MIKEYD_PROGRAM, "--config", lab.config, "--check", NULL};
    cr_assert_eq(lab_run(&lab, check), 0);
    cr_assert_eq(lab_count_in_file(lab.audit, "\"event\":\"start\""), 0);
    cr_assert_eq(access(lab.socket, F_OK), -1);
    lab_write_policy(&lab, "bogus: 1\n");
    cr_assert_eq(lab_run(&lab, check), 1);
    lab_write_policy(&lab, "");
    cr_assert_eq(chmod(lab.token.pin_file, 0644), 0);
    cr_assert_eq(lab_run(&lab, check), 1);
}

static void expect_sandboxed(pid_t pid, size_t least)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *threads = opendir(path);
    cr_assert_not_null(threads);
    size_t count = 0;
    for (struct dirent *thread; (thread = readdir(threads)) != NULL;) {
        char status[sizeof path + sizeof thread->d_name + 16];
        if (thread->d_name[0] == '.')
            continue;
        (void)snprintf(status, sizeof status, "%s/%s/status", path, thread->d_name);
        cr_assert_eq(lab_count_in_file(status, "Seccomp:\t2"), 1);
        cr_assert_eq(lab_count_in_file(status, "NoNewPrivs:\t1"), 1);
        count++;
    }
    (void)closedir(threads);
    cr_assert_geq(count, least);
}

Test(life, every_thread_of_front_and_keyholder_is_in_the_sandbox)
{
    if (lab_daemon_is_sanitized())
        cr_skip_test("the sanitizer's runtime cannot live in it");
    lab_start(&lab);
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    mikeyd_client_close(client);
    expect_sandboxed(lab_front(&lab), 5); /* main, workers, audit, gate, reloader */
    expect_sandboxed(lab_keyholder(&lab, 0), 2);
}

Test(life, front_has_neither_module_nor_pin)
{
    char path[64];
    lab_start(&lab);
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    mikeyd_client_close(client);
    (void)snprintf(path, sizeof path, "/proc/%d/maps", (int)lab_front(&lab));
    const char *module = token_fixture_module(&lab.token);
    char resolved[PATH_MAX];
    cr_assert_not_null(realpath(module, resolved));
    cr_assert_eq(lab_count_in_file(path, resolved), 0);
    cr_assert_eq(lab_count_in_file(path, "p11"), 0);
    (void)snprintf(path, sizeof path, "/proc/%d/maps", (int)lab_keyholder(&lab, 0));
    cr_assert_gt(lab_count_in_file(path, resolved), 0, "control");
}

/* ---- stop ---- */

Test(life, sigterm_finishes_what_is_in_flight)
{
    uint8_t frame[512];
    lab_start(&lab);
    int fd = lab_connect(&lab);
    for (uint64_t id = 1; id <= 100; id++) {
        size_t len = lab_frame_initiate(id, NULL, frame, sizeof frame);
        cr_assert_eq(send(fd, frame, len, MSG_NOSIGNAL), (ssize_t)len);
    }
    /* The first answer: the others have been read, or wait in the socket. */
    cr_assert_eq(lab_read_response(fd, 5000, NULL), MIKEYD_OK);
    cr_assert_eq(kill(lab.daemon, SIGTERM), 0);
    size_t answered = 1;
    int status;
    while ((status = lab_read_response(fd, 10000, NULL)) == MIKEYD_OK)
        answered++;
    cr_assert_eq(status, -1, "%d", status);
    (void)close(fd);
    cr_assert_eq(waitpid(lab.daemon, &status, 0), lab.daemon);
    lab.daemon = 0;
    cr_assert_eq(status, 0);
    /* What was begun has its record, and what has its record was answered. */
    cr_assert_eq(lab_count_in_file(lab.audit, "\"event\":\"initiate\""), answered);
    cr_assert_eq(lab_count_in_file(lab.audit, "\"event\":\"stop\""), 1);
    cr_assert_eq(lab_verify_audit(&lab), 0);
}

/* ---- reload ---- */

static void reload_until(const char *audited)
{
    cr_assert_eq(kill(lab.daemon, SIGHUP), 0);
    cr_assert(lab_file_gets(lab.audit, audited));
}

Test(life, bad_policy_never_replaces_the_good_one)
{
    lab_start(&lab);
    lab_write_policy(&lab, "bogus: 1\n");
    reload_until("\"event\":\"reload_refused\"");
    cr_assert_eq(lab_count_in_file(lab.audit, "bogus: unknown field"), 1);
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    mikeyd_client_close(client);
}

Test(life, policy_with_a_missing_key_never_replaces_the_good_one)
{
    lab_start(&lab);
    char *text = lab_read_file(lab.policy);
    char *key = strstr(text, "name: pbx");
    cr_assert_not_null(key);
    memcpy(key, "name: pby", 9);
    key = strstr(text, "key: pbx");
    cr_assert_not_null(key);
    memcpy(key, "key: pby", 8);
    lab_write_file(lab.policy, text);
    free(text);
    reload_until("\"event\":\"reload_refused\"");
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    mikeyd_client_close(client);
}

Test(life, good_policy_takes_effect_at_once)
{
    lab_start(&lab);
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    char *text = lab_read_file(lab.policy);
    char *may = strstr(text, "may: [initiate, respond]");
    cr_assert_not_null(may);
    memcpy(may, "may: [respond          ]", 24);
    lab_write_file(lab.policy, text);
    free(text);
    reload_until("\"event\":\"reload\"");
    mikeyd_exchange *exchange = NULL;
    cr_assert_eq(lab_initiate(client, &exchange), MIKEYD_NOT_ENTITLED);
    cr_assert_null(exchange);
    mikeyd_client_close(client);
}

Test(life, reload_record_names_who_asked)
{
    char who[80];
    lab_start(&lab);
    reload_until("\"event\":\"reload\"");
    (void)snprintf(who, sizeof who, "\"client\":\"SIGHUP by uid %u, process %u\"",
                   (unsigned)getuid(), (unsigned)getpid());
    cr_assert_eq(lab_count_in_file(lab.audit, who), 1, "%s", who);
}

/* 300 nodes are more than one field of a record holds. */
Test(life, large_change_of_the_policy_is_recorded_whole)
{
    static char text[40000];
    lab_start(&lab);
    char *old = lab_read_file(lab.policy);
    const char *nodes = strstr(old, "nodes: [");
    cr_assert_not_null(nodes);
    nodes += strlen("nodes: [");
    (void)snprintf(text, sizeof text, "%.*s", (int)(nodes - old), old);
    for (int i = 0; i < 300; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text),
                       "\"sip:node-%d@lab.example\", ", i);
    (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%s", nodes);
    free(old);
    lab_write_file(lab.policy, text);
    reload_until("\"event\":\"reload\"");
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    const char *const join[] = {
        "/bin/sh", "-c",
        "grep policy_change audit.jsonl | sed -E 's/.*\"detail\":\"(.*)\",\"prev\".*/\\1/' | "
        "tr -d '\\n' | sed 's/\\\\\"/\"/g'",
        NULL};
    cr_assert_eq(chdir(lab.dir), 0);
    cr_assert_eq(lab_run(&lab, join), 0);
    char path[LAB_PATH + 8];
    (void)snprintf(path, sizeof path, "%s/out", lab.dir);
    char *whole = lab_read_file(path);
    for (int i = 0; i < 300; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "\"sip:node-%d@lab.example\"", i);
        cr_assert_not_null(strstr(whole, name), "%s is not in: %s", name, whole);
    }
    free(whole);
    cr_assert_eq(lab_count_in_file(lab.audit, "(cut:"), 0);
    cr_assert_eq(lab_verify_audit(&lab), 0);
}

/* ---- kill and restart ---- */

Test(life, restart_between_initiate_and_confirm)
{
    size_t message_len, reply_len, ticket_len;
    mikeyd_exchange *initiated = NULL, *responded = NULL, *confirmed = NULL;
    lab_start(&lab);
    mikeyd_client *client = lab_client(&lab);
    cr_assert_eq(lab_initiate(client, &initiated), MIKEYD_OK);
    (void)lab_stop(&lab, SIGKILL);
    lab_start(&lab);
    const uint8_t *message = mikeyd_exchange_message(initiated, &message_len);
    const struct mikeyd_answer answer = {
        .as = LAB_B, .message = message, .message_len = message_len};
    cr_assert_eq(mikeyd_respond(client, &answer, &responded), MIKEYD_OK, "%s",
                 mikeyd_client_error(client));
    const uint8_t *reply = mikeyd_exchange_message(responded, &reply_len);
    const uint8_t *ticket = mikeyd_exchange_ticket(initiated, &ticket_len);
    cr_assert_eq(mikeyd_confirm(client, ticket, ticket_len, reply, reply_len, &confirmed),
                 MIKEYD_OK, "%s", mikeyd_client_error(client));
    mikeyd_exchange_free(initiated);
    mikeyd_exchange_free(responded);
    mikeyd_exchange_free(confirmed);
    mikeyd_client_close(client);
}

Test(life, nothing_accepted_is_accepted_again_after_kill_9)
{
    size_t message_len;
    mikeyd_exchange *initiated = NULL, *responded = NULL;
    lab_start(&lab);
    mikeyd_client *client = lab_client(&lab);
    cr_assert_eq(lab_initiate(client, &initiated), MIKEYD_OK);
    const uint8_t *message = mikeyd_exchange_message(initiated, &message_len);
    const struct mikeyd_answer answer = {
        .as = LAB_B, .message = message, .message_len = message_len};
    cr_assert_eq(mikeyd_respond(client, &answer, &responded), MIKEYD_OK);
    mikeyd_exchange_free(responded);
    responded = NULL;
    (void)lab_stop(&lab, SIGKILL);
    cr_assert_eq(lab_verify_audit(&lab), 0);
    lab_start(&lab);
    cr_assert_eq(mikeyd_respond(client, &answer, &responded), MIKEYD_REPLAY);
    cr_assert_null(responded);
    mikeyd_exchange_free(initiated);
    mikeyd_client_close(client);
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    cr_assert_eq(lab_verify_audit(&lab), 0);
}

/* Kills under load, at different instants: what a client got has its record. */
Test(life, kill_9_under_load_loses_no_record_of_what_was_released)
{
    uint8_t frame[512];
    size_t answered = 0;
    for (int round = 0; round < 8; round++) {
        lab_start(&lab);
        int fd = lab_connect(&lab);
        for (uint64_t id = 1; id <= 200; id++) {
            size_t len = lab_frame_initiate(id, NULL, frame, sizeof frame);
            cr_assert_eq(send(fd, frame, len, MSG_NOSIGNAL), (ssize_t)len);
        }
        for (int i = 0; i < 3 + 11 * round; i++) {
            cr_assert_eq(lab_read_response(fd, 5000, NULL), MIKEYD_OK);
            answered++;
        }
        lab_kill(&lab);
        while (lab_read_response(fd, 5000, NULL) == MIKEYD_OK)
            answered++;
        (void)close(fd);
    }
    lab_start(&lab);
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    cr_assert_eq(lab_verify_audit(&lab), 0);
    cr_assert_geq(lab_count_in_file(lab.audit, "\"event\":\"initiate\""), answered);
}

/* RFC 3830 5.4: without its replay track nothing is accepted as long as anything accepted before
 * could come back; tickets live for five minutes. */
Test(life, lost_replay_track_closes_for_as_long_as_tickets_live)
{
    char database[LAB_PATH + 32];
    char *report = NULL;
    lab_start(&lab);
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    (void)snprintf(database, sizeof database, "%s/replay/data.mdb", lab.dir);
    cr_assert_eq(unlink(database), 0);
    lab_start(&lab);
    mikeyd_client *client = lab_client(&lab);
    cr_assert_eq(mikeyd_client_status(client, false, &report), MIKEYD_OK);
    const char *until = strstr(report, "\"closed_until\":");
    cr_assert_not_null(until);
    cr_assert_geq(strtol(until + 15, NULL, 10) - (long)time(NULL), 295);
    free(report);
    mikeyd_client_close(client);
}
