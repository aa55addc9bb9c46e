//! The tables, as declared to diesel. A test compares both migration folders with each other.

diesel::table! {
    tasks (id) {
        id -> Binary,
        owner -> Binary,
        kind -> Text,
        state -> Text,
        spec -> Text,
        #[sql_name = "identity"]
        dedup_key -> Nullable<Text>,
        attempt -> Integer,
        dispatch -> Integer,
        failures -> Integer,
        redispatches -> Integer,
        #[sql_name = "alone"]
        exclusive -> Bool,
        worker -> Nullable<Binary>,
        leased_until -> Nullable<Timestamp>,
        progress -> Nullable<Text>,
        checkpoint -> Nullable<Text>,
        file_name -> Nullable<Text>,
        file_name_key -> Nullable<Text>,
        size -> Nullable<BigInt>,
        sha256 -> Nullable<Text>,
        output -> Nullable<Text>,
        output_attempt -> Nullable<Integer>,
        result -> Nullable<Text>,
        error -> Nullable<Text>,
        created_at -> Timestamp,
        changed_at -> Timestamp,
        queued_at -> Nullable<Timestamp>,
        dispatched_at -> Nullable<Timestamp>,
        started_at -> Nullable<Timestamp>,
        attempt_started_at -> Nullable<Timestamp>,
        finished_at -> Nullable<Timestamp>,
        files_removed -> Bool,
        deleted -> Bool,
    }
}

diesel::table! {
    /// More columns of `tasks`: without a feature that multiplies the time to compile, diesel has
    /// at most 32 in a table.
    #[sql_name = "tasks"]
    task_phases (id) {
        id -> Binary,
        received_at -> Nullable<Timestamp>,
        stopping_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    task_attempts (task_id, attempt) {
        task_id -> Binary,
        attempt -> Integer,
        worker -> Nullable<Binary>,
        started_at -> Nullable<Timestamp>,
        ended_at -> Timestamp,
        outcome -> Text,
        reason -> Nullable<Text>,
        queued_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    outbox (task_id) {
        task_id -> Binary,
        kind -> Text,
        dispatch -> Integer,
        due_at -> Timestamp,
        locked_until -> Nullable<Timestamp>,
    }
}

diesel::table! {
    workers (id) {
        id -> Binary,
        name -> Text,
        version -> Text,
        kinds -> Text,
        slots -> Integer,
        draining -> Bool,
        started_at -> Timestamp,
        seen_at -> Timestamp,
    }
}

diesel::table! {
    file_statistics (task_id) {
        task_id -> Binary,
        owner -> Binary,
        file_name -> Text,
        size -> BigInt,
        line_count -> Nullable<BigInt>,
        word_count -> Nullable<BigInt>,
        character_count -> Nullable<BigInt>,
        content_type -> Text,
        encoding -> Text,
        sha256 -> Text,
        created_at -> Timestamp,
    }
}

diesel::table! {
    file_data (task_id, row) {
        task_id -> Binary,
        row -> BigInt,
        name -> Text,
        email -> Text,
        created_at -> Timestamp,
        updated_at -> Timestamp,
    }
}

diesel::table! {
    rejected_rows (task_id, row) {
        task_id -> Binary,
        row -> BigInt,
        line -> BigInt,
        column_name -> Nullable<Text>,
        value -> Nullable<Text>,
        reason -> Text,
    }
}

diesel::table! {
    users (id) {
        id -> Binary,
        username -> Text,
        username_key -> Text,
        password_hash -> Text,
        role -> Text,
        created_at -> Timestamp,
        disabled -> Bool,
        unlisted_sessions_ended -> Bool,
        last_login_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    sessions (id) {
        id -> Binary,
        user_id -> Binary,
        created_at -> Timestamp,
        expires_at -> Timestamp,
        last_used_at -> Timestamp,
        address -> Text,
        user_agent -> Nullable<Text>,
    }
}

diesel::table! {
    api_keys (id) {
        id -> Binary,
        user_id -> Binary,
        name -> Text,
        hash -> Binary,
        scopes -> Text,
        created_at -> Timestamp,
        expires_at -> Nullable<Timestamp>,
        last_used_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    audit (id) {
        id -> Binary,
        at -> Timestamp,
        user_id -> Nullable<Binary>,
        username -> Nullable<Text>,
        address -> Nullable<Text>,
        action -> Text,
        task_id -> Nullable<Binary>,
        detail -> Nullable<Text>,
    }
}

diesel::table! {
    revoked_tokens (jti) {
        jti -> Binary,
        user_id -> Binary,
        expires_at -> Timestamp,
    }
}

diesel::table! {
    idempotency_keys (id) {
        id -> Text,
        holder -> Binary,
        locked_until -> Timestamp,
        fingerprint -> Nullable<Text>,
        answer -> Nullable<Text>,
        created_at -> Timestamp,
    }
}

diesel::table! {
    request_counters (user_id) {
        user_id -> Binary,
        count -> BigInt,
    }
}

diesel::table! {
    messages (sequence) {
        sequence -> BigInt,
        id -> Binary,
        user_id -> Binary,
        message -> Text,
        request_count -> Nullable<BigInt>,
        category -> Text,
        terms -> Text,
        created_at -> Timestamp,
    }
}

diesel::table! {
    user_events (owner, event_id) {
        owner -> Binary,
        event_id -> Text,
        task_id -> Binary,
        city -> Text,
        state -> Text,
        country -> Text,
        post_code -> Text,
        occurred_at -> Timestamp,
        created_at -> Timestamp,
    }
}

diesel::table! {
    schedules (name) {
        name -> Text,
        cron -> Text,
        time_zone -> Text,
        enabled -> Bool,
        recipients -> Text,
        next_due -> Nullable<Timestamp>,
        last_run_at -> Nullable<Timestamp>,
        last_task_id -> Nullable<Binary>,
        owner -> Nullable<Binary>,
    }
}

diesel::table! {
    uploads (id) {
        id -> Binary,
        owner -> Binary,
        state -> Text,
        role -> Text,
        parts -> Nullable<Text>,
        final_id -> Nullable<Binary>,
        task_id -> Nullable<Binary>,
        size -> Nullable<BigInt>,
        received -> BigInt,
        intake -> Nullable<Text>,
        staged -> Nullable<Text>,
        metadata -> Nullable<Text>,
        writer -> Integer,
        held_until -> Nullable<Timestamp>,
        release_requested -> Bool,
        created_at -> Timestamp,
        expires_at -> Timestamp,
    }
}

diesel::table! {
    backfills (name) {
        name -> Text,
        version -> Integer,
        done_to -> Text,
    }
}

diesel::table! {
    locks (name) {
        name -> Text,
        holder -> Binary,
        locked_until -> Timestamp,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    tasks,
    task_attempts,
    outbox,
    workers,
    users,
    revoked_tokens
);
diesel::allow_tables_to_appear_in_same_query!(tasks, file_data, rejected_rows);
diesel::allow_tables_to_appear_in_same_query!(tasks, uploads);
diesel::allow_tables_to_appear_in_same_query!(audit, users);
diesel::allow_tables_to_appear_in_same_query!(api_keys, users);
