//! Mistakes and what the compiler says about them: one file a mistake, named after it.

#[test]
fn mistakes_give_short_messages() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/*.rs");
}
