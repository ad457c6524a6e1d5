//! What idp does, told as examples. One binary, one chapter a file.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on says so")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests are the world around the program: its clock, its environment"
)]

mod access;
mod access_matrix;
mod acme;
mod adoption;
mod architecture;
mod asking;
mod audit;
#[path = "../../benches/figures/bombs.rs"]
mod bombs;
mod cards;
mod catalog_follow;
mod catalog_history;
mod catalog_import;
mod catalog_refresh;
mod catalog_views;
mod charts;
mod cluster;
mod command_examples;
mod command_files;
mod command_line;
mod database;
mod deliveries;
mod demo;
mod descriptors;
mod digest_command;
mod digest_content;
mod digest_pictures;
mod digest_platform;
mod digest_world;
mod digests;
mod directory;
mod discord_gateway;
mod discord_http;
mod discord_judge;
mod discord_limits;
mod discord_registration;
mod discord_world;
mod doctor;
mod documents;
mod egress;
mod exemptions;
mod facts;
mod facts_api;
mod facts_command_line;
mod forged;
mod git_source;
mod graph;
mod home;
mod hostile_answers;
mod hostile_discord;
mod hostile_files;
mod hostile_graphs;
mod hostile_logs;
mod hostile_names;
mod hostile_paths;
mod hostile_slack;
mod hostile_text;
mod inbox;
mod invocation_world;
mod invocations;
mod lookups;
mod malformed_scorecards;
mod on_call;
mod operations;
mod outbox;
mod outbox_errors;
mod outbox_world;
mod parity;
mod picture_files;
mod pictures;
mod pictures_in_chat;
mod playground;
mod portal;
mod recent_answers;
#[path = "../faults/scale.rs"]
mod scale;
mod schedules;
mod score;
mod score_command_line;
mod scorecard_answers;
mod scorecard_imports;
mod scorecards;
mod selects;
mod serve;
mod shortcut;
mod slack_client;
mod slack_forms;
mod slack_http;
mod slack_judge;
mod slack_limits;
mod slack_signature;
mod slack_socket;
mod tenants;
mod totp;
mod unfurl;
mod usage;
mod vault;
mod waiting;
mod wall;
mod world;
