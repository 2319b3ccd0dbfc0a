//! The `oidc:` block for Headscale's `config.yaml`.

use super::quoted;
use crate::config::IssuerSettings;

/// The block to paste. `expiry_from_provider` is `oidc.use_expiry_from_token`. The client secret is
/// not printed: Headscale reads it from a file.
///
/// `only_start_if_oidc_is_available` stays true: Headscale that fell back to its command line would
/// not look for us again until it is restarted.
pub fn config_block(issuer: &IssuerSettings, expiry_from_provider: bool) -> String {
    let expiry = expiry_from_provider || issuer.node_expiry.is_some();
    format!(
        "\
# For Headscale's config.yaml. Who may sign in is decided by Headwarden's rules, so there is no
# allowed_domains, allowed_groups or allowed_users here.
oidc:
  only_start_if_oidc_is_available: true
  issuer: {issuer}
  client_id: {client_id}
  # A file that holds the value of Headwarden's headscale.issuer.client_secret, readable by Headscale.
  client_secret_path: \"/etc/headscale/oidc_client_secret\"
  scope: [\"openid\", \"profile\", \"email\"]
  pkce:
    enabled: true
    method: S256
  use_expiry_from_token: {expiry}
",
        issuer = quoted(issuer.url.as_str()),
        client_id = quoted(&issuer.client_id),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::issuer::fixture;

    fn read(text: &str) -> serde_json::Value {
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn the_block_is_yaml_that_names_us() {
        let mut settings = fixture::settings();
        settings.client_id = "head: \"scale\" # x".to_owned();
        let block = read(&config_block(&settings, false));
        assert_eq!(block["oidc"]["issuer"], settings.url.as_str());
        assert_eq!(block["oidc"]["client_id"], settings.client_id.as_str());
        assert_eq!(block["oidc"]["pkce"]["method"], "S256");
        assert_eq!(block["oidc"]["only_start_if_oidc_is_available"], true);
    }

    #[test]
    fn the_expiry_is_taken_from_the_token_where_it_means_the_devices() {
        let year = Some(Duration::from_hours(24 * 365));
        for (node_expiry, from_provider, expected) in [
            (None, false, false),
            (None, true, true),
            (year, false, true),
        ] {
            let mut settings = fixture::settings();
            settings.node_expiry = node_expiry;
            let block = read(&config_block(&settings, from_provider));
            assert_eq!(block["oidc"]["use_expiry_from_token"], expected);
        }
    }

    #[test]
    fn the_secret_is_not_printed() {
        let settings = fixture::settings();
        assert!(!config_block(&settings, false).contains(settings.client_secret.expose()));
    }
}
