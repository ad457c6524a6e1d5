//! A developer portal that lives in chat: it answers questions about a software catalog.
//!
//! Everything it does starts at one of the doors of [`app::App`]:
//! someone types a command, or someone clicks a button.
//!
//! The modules, in reading order. Each may use only those above it:
//!
//! | module           | what it holds                                                   |
//! |------------------|-----------------------------------------------------------------|
//! | [`conversation`] | what people say to the bot and what it says back                 |
//! | [`error`]        | refusals, told to the person; faults, told to the log            |
//! | [`fail_point`]   | where tests end or freeze the process                           |
//! | [`config`]       | every setting of the process, its variable, its default          |
//! | [`vault`]        | the instance's key, and what is sealed and signed with it        |
//! | [`postgres`]     | the private cluster, connections, migrations                     |
//! | [`integrations`] | the one HTTP client; other companies' APIs                       |
//! | [`catalog`]      | entities, relations, the graph; reading descriptors              |
//! | [`facts`]        | what is known of entities, from whom, and how long it holds      |
//! | [`access`]       | who is who                                                       |
//! | [`scorecards`]   | what is expected of entities, and how far each has come          |
//! | [`pictures`]     | what answers show besides words, drawn                           |
//! | [`usage`]        | how idp is used, counted; whether it helps, said                 |
//! | [`jobs`]         | when work falls due                                              |
//! | [`on_call`]      | who is on call, from rotas written in YAML                       |
//! | [`announcements`] | what is said elsewhere than where it was asked                 |
//! | [`audit`]        | what was decided, such that nobody changes it unnoticed          |
//! | [`digests`]      | what teams are told on a schedule                                |
//! | [`actions`]      | what people ask for, others approve, and is done once            |
//! | [`commands`]     | command files: reading, understanding a call, looking up, saying |
//! | [`portal`]       | the portal directory: settings, checks, reload                   |
//! | [`app`]          | the doors                                                        |
//! | [`chat`]         | each platform: what it sends, what it is answered                |
//! | [`web`]          | HTTP in                                                          |
//! | [`terminal`]     | the command line and the prompt                                  |

pub mod access;
pub mod actions;
pub mod announcements;
pub mod app;
pub mod audit;
pub mod catalog;
pub mod chat;
pub mod commands;
pub mod config;
pub mod conversation;
pub mod digests;
pub mod error;
pub mod facts;
pub mod fail_point;
pub mod integrations;
pub mod jobs;
pub mod on_call;
pub mod pictures;
pub mod portal;
pub mod postgres;
pub mod scorecards;
pub mod terminal;
pub mod usage;
pub mod vault;
pub mod web;
