// SPDX-License-Identifier: Apache-2.0
#include "k8s/certificate_secret.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace egw;
using namespace egw::k8s;
using namespace std::chrono_literals;

namespace {

constexpr auto kDay = std::chrono::hours(24);
const WallTime kNow{std::chrono::seconds(1'790'000'000)};

const CertificatePolicy& policy() {
  static const CertificatePolicy it{{"egw-system", "egw-webhook"},
                                    {"egw-webhook.egw-system.svc", "10.0.0.1"}};
  return it;
}

api::Secret made(const api::Secret* before, const CertificatePlan& plan, WallTime now = kNow,
                 const CertificatePolicy& by = policy()) {
  return make_secret(before, plan, by, now).value();
}
api::Secret fresh(WallTime now = kNow) {
  auto secret = made(nullptr, plan_certificates(nullptr, policy(), now), now);
  secret.meta.created = std::chrono::floor<std::chrono::seconds>(now);
  return secret;
}
CertificatePlan plan(const api::Secret& secret, WallTime now = kNow) {
  return plan_certificates(&secret, policy(), now);
}
std::string what(const CertificatePlan& p) {
  std::string text;
  if (p.authority) text += "authority ";
  if (p.serving) text += "serving ";
  if (p.prune) text += "prune ";
  if (p.repair) text += "repair ";
  return text;
}
std::size_t count_authorities(const api::Secret& secret) {
  return read_certificates(secret.data.at("ca.crt"))->size();
}
// What stands there is of use: clients that trust it take what is served, and nothing is to be
// done.
void check_right(const api::Secret& secret, WallTime now) {
  CHECK(what(plan(secret, now)) == "");
  const auto material = material_of(secret);
  CHECK(check_key(material.serving).ok());
  CHECK(
      check_serving(material.serving.certificate, material.authorities, policy().names, now).ok());
}

} // namespace

TEST_CASE("certificates: none yet") {
  const auto none = plan_certificates(nullptr, policy(), kNow);
  CHECK(what(none) == "authority serving ");
  CHECK(none.why == "there is none");
  const auto secret = fresh();
  CHECK(secret.meta.name == "egw-webhook");
  CHECK(secret.meta.namespace_ == "egw-system");
  CHECK(secret.type == "kubernetes.io/tls");
  CHECK(secret.data.size() == 4);
  CHECK(count_authorities(secret) == 1);
  check_right(secret, kNow);
  CHECK(plan(secret).next == kNow + (365 * kDay) * 2 / 3);
}

TEST_CASE("certificates: the serving pair is renewed after two thirds of its year") {
  const auto secret = fresh();
  const WallTime due = kNow + (365 * kDay) * 2 / 3;
  CHECK(what(plan(secret, due - 1s)) == "");
  const auto renew = plan(secret, due + 1s);
  CHECK(what(renew) == "serving ");
  CHECK(renew.why == "two thirds of tls.crt's time are over");
  const auto next = made(&secret, renew, due);
  CHECK(next.data.at("ca.crt") == secret.data.at("ca.crt"));
  CHECK(next.data.at("ca.key") == secret.data.at("ca.key"));
  CHECK(next.data.at("tls.crt") != secret.data.at("tls.crt"));
  check_right(next, due + 1s);
  CHECK(what(plan(secret, kNow + 366 * kDay)) == "serving ");
  CHECK(plan(secret, kNow + 366 * kDay).why.starts_with("tls.crt ran out at "));
}

TEST_CASE("certificates: the authority is renewed after two thirds of ten years, with an overlap") {
  auto secret = fresh();
  WallTime now = kNow;
  // Years of ordinary life, in which every renewal is made when it is due.
  int serving = 0, authority = 0;
  std::size_t most = 0;
  for (const WallTime end = kNow + 40 * 365 * kDay; now < end;) {
    const auto due = plan(secret, now);
    if (due.any()) {
      CHECK_FALSE((due.authority && due.serving)); // never both: clients learn the new one in time
      const auto before = material_of(secret);
      secret = made(&secret, due, now);
      serving += due.serving ? 1 : 0;
      authority += due.authority ? 1 : 0;
      // Who has the new authorities and who still has the old ones take what is served.
      CHECK(
          check_serving(before.serving.certificate, material_of(secret).authorities, {}, now).ok());
      CHECK(
          check_serving(material_of(secret).serving.certificate, before.authorities, {}, now).ok());
      most = std::max(most, count_authorities(secret));
      check_right(secret, now);
    } else {
      REQUIRE(due.next.has_value());
      REQUIRE(*due.next > now);
      now = *due.next + 1s;
    }
  }
  CHECK(authority == 5); // each 6.67 years
  CHECK(serving == 59);  // each 8 months
  CHECK(most == 2);
}

TEST_CASE("certificates: an old authority leaves when it has run out") {
  const auto secret = fresh();
  const WallTime due = kNow + 3650 * kDay * 2 / 3 + 1s;
  const auto both = made(&secret, plan(secret, due), due);
  const WallTime over = kNow + 3651 * kDay;
  CertificatePlan renew;
  renew.serving = true;
  auto late = made(&both, renew, over - 20 * kDay);
  CHECK(count_authorities(late) == 2);
  const auto p = plan(late, over);
  CHECK(what(p) == "prune ");
  CHECK(p.why.starts_with("an old authority ran out at "));
  late = made(&late, p, over);
  CHECK(count_authorities(late) == 1);
  check_right(late, over);
}

TEST_CASE("certificates: damage is repaired, and nothing more than what is damaged") {
  const auto good = fresh(), other = fresh();
  api::Secret secret = good;
  std::string expected;
  bool keeps_serving = false;
  SUBCASE("no key at all") {
    secret.data.clear();
    expected = "authority serving repair ";
  }
  SUBCASE("another program's Secret") {
    secret.data = {{"username", "u"}, {"password", "p"}};
    secret.type = "kubernetes.io/basic-auth";
    expected = "authority serving repair ";
  }
  SUBCASE("ca.crt is no certificate") {
    secret.data["ca.crt"] = "x";
    expected = "authority serving repair ";
  }
  SUBCASE("ca.crt is a serving certificate") {
    secret.data["ca.crt"] = secret.data["tls.crt"];
    expected = "authority serving repair ";
  }
  SUBCASE("ca.key is lost: what is served stays trusted") {
    secret.data.erase("ca.key");
    expected = "authority repair ";
    keeps_serving = true;
  }
  SUBCASE("ca.key is another's") {
    secret.data["ca.key"] = other.data.at("ca.key");
    expected = "authority repair ";
    keeps_serving = true;
  }
  SUBCASE("tls.crt is garbage") {
    secret.data["tls.crt"].resize(300);
    expected = "serving repair ";
  }
  SUBCASE("tls.key is another's") {
    secret.data["tls.key"] = other.data.at("tls.key");
    expected = "serving repair ";
  }
  SUBCASE("the pair is another authority's") {
    secret.data["tls.key"] = other.data.at("tls.key");
    secret.data["tls.crt"] = other.data.at("tls.crt");
    expected = "serving repair ";
  }
  SUBCASE("another authority altogether") {
    secret.data["ca.key"] = other.data.at("ca.key");
    secret.data["ca.crt"] = other.data.at("ca.crt");
    expected = "serving repair ";
  }
  const auto p = plan(secret);
  CHECK(what(p) == expected);
  CHECK_FALSE(p.why.empty());
  secret.meta.annotations.set("mine", "stays");
  const auto type = secret.type;
  const auto repaired = made(&secret, p);
  check_right(repaired, kNow);
  CHECK(repaired.type == type); // it cannot be changed
  CHECK(repaired.meta.annotations.find("mine").has_value());
  CHECK((repaired.data.at("tls.crt") == good.data.at("tls.crt")) == keeps_serving);
  if (secret.data.contains("username")) CHECK(repaired.data.at("username") == "u");
}

TEST_CASE("certificates: other names are another certificate") {
  const auto secret = fresh();
  for (const auto& names : {std::vector<std::string>{"a.b.svc"},
                            {"egw-webhook.egw-system.svc"},
                            {"egw-webhook.egw-system.svc", "10.0.0.1", "c"}}) {
    auto renamed = policy();
    renamed.names = names;
    const auto p = plan_certificates(&secret, renamed, kNow);
    CHECK(what(p) == "serving ");
    CHECK(p.why.starts_with("tls.crt is for egw-webhook.egw-system.svc, 10.0.0.1, and not for "));
    const auto next = made(&secret, p, kNow, renamed);
    CHECK_FALSE(plan_certificates(&next, renamed, kNow).any());
    CHECK(read_certificates(next.data.at("tls.crt"))->front().names == names);
  }
  auto turned = policy();
  std::swap(turned.names[0], turned.names[1]);
  CHECK_FALSE(plan_certificates(&secret, turned, kNow).any());
}

TEST_CASE("certificates: a clock that jumps") {
  const auto secret = fresh();
  // Ahead: all has run out, and is made anew.
  const WallTime ahead = kNow + 20 * 365 * kDay;
  const auto p = plan(secret, ahead);
  CHECK(what(p) == "authority serving ");
  const auto future = made(&secret, p, ahead);
  check_right(future, ahead);
  CHECK(count_authorities(future) == 1);
  // Back again: what was made is not valid yet for any client.
  const auto back = plan(future, kNow);
  CHECK(what(back) == "authority serving repair ");
  CHECK(back.why.starts_with("ca.crt is not valid before 20"));
  check_right(made(&future, back, kNow), kNow);
  // Before the API server made the Secret: this clock is wrong, and nothing is touched.
  const auto behind = plan(secret, kNow - 11min);
  CHECK_FALSE(behind.any());
  CHECK(behind.trouble.ends_with("set the clock"));
  CHECK(plan(secret, kNow - 9min).trouble.empty());
  CHECK_FALSE(plan(secret, kNow - 9min).any());
}

TEST_CASE("certificates: a Secret that is being deleted is left alone") {
  auto secret = fresh();
  secret.meta.deleting = true;
  secret.data.clear();
  CHECK_FALSE(plan(secret).any());
  CHECK_FALSE(plan(secret).trouble.empty());
}
