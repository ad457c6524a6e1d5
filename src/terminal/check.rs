//! `idp check`, and how problems look in a terminal.

use std::process::ExitCode;

use serde::Serialize;

use super::arguments::{Check, ReportFormat};
use crate::catalog::{Problem, Severity};
use crate::portal;

/// What `idp check --format json` prints.
#[derive(Debug, Serialize)]
struct Report {
    errors: usize,
    warnings: usize,
    problems: Vec<Problem>,
}

/// Prints every problem of the directory; fails when there is an error among them.
pub fn run(check: Check) -> anyhow::Result<ExitCode> {
    let problems = portal::check(&check.dir);
    let count = |severity| problems.iter().filter(|it| it.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    match check.format {
        ReportFormat::Json => super::print_json(&Report { errors, warnings, problems })?,
        ReportFormat::Text => {
            let sum = format!("{}, {}\n", counted(errors, "error"), counted(warnings, "warning"));
            super::print(&format!("{}{sum}", listed(&problems)))?;
        }
    }
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One problem in two lines, as compilers write them, so that editors can jump to it.
pub fn listed(problems: &[Problem]) -> String {
    let mut out = String::new();
    for problem in problems {
        let Problem { file, line, column, rule, message, hint, .. } = problem;
        let severity = match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "note",
        };
        out.push_str(&format!("{file}:{line}:{column}: {severity}[{rule}]: {message}\n"));
        if !hint.is_empty() {
            out.push_str(&format!("    {hint}\n"));
        }
    }
    super::visible(&out)
}

/// `1 error`, `2 errors`.
pub fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_its_place_first_and_obeys_no_file() {
        let problem = Problem {
            file: "catalog/a\u{1b}[2J.yaml".into(),
            document: 0,
            line: 3,
            column: 7,
            reference: None,
            severity: Severity::Warning,
            rule: "owner".into(),
            message: "Nobody.".into(),
            hint: "Say who.".into(),
        };
        let expected = "catalog/a⟨U+001B⟩[2J.yaml:3:7: warning[owner]: Nobody.\n    Say who.\n";
        assert_eq!(listed(&[problem]), expected);
    }
}
