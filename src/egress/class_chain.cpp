// SPDX-License-Identifier: Apache-2.0
#include "egress/class_chain.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>
#include <variant>

#include "base/digest.hpp"
#include "egress/class_data.hpp"
#include "egress/statements.hpp"

namespace egw::egress {

namespace {

using net::NftFamily;
using nft::bytes_of;
using nft::daddr_in;
using nft::daddr_not_in;
using nft::Piece;
using nft::PrefixSet;
using nft::rule;

// As prefixes, where they are few.
std::vector<Prefix> few_prefixes(const std::vector<Range>& ranges) {
  std::vector<Prefix> all;
  for (const Range& r : ranges) {
    if (all.size() + 1 > kFewPrefixes) return {};
    const auto some = to_prefixes(r);
    all.insert(all.end(), some.begin(), some.end());
  }
  return all.size() <= kFewPrefixes ? all : std::vector<Prefix>{};
}

// By their lengths, where they are many and these are few.
std::map<std::uint8_t, std::vector<Prefix>> many_prefixes(const std::vector<Range>& ranges) {
  std::map<std::uint8_t, std::vector<Prefix>> all;
  if (ranges.size() < kManyRanges) return all;
  for (const Range& r : ranges) {
    for (const Prefix& prefix : to_prefixes(r)) all[prefix.length].push_back(prefix);
    if (all.size() > kFewLengths) return {};
  }
  return all;
}

class Builder {
 public:
  Builder(Family family, const IntervalSet& cluster)
      : family_(family),
        nft_(family == Family::V4 ? NftFamily::Ip : NftFamily::Ip6),
        cluster_(cluster) {}

  ClassChain build(const PodClass& pod_class) {
    std::vector<const PolicyRule*> policies; // that may take a packet of this family
    for (const PolicyRule& policy : pod_class.policies) {
      if (policy.everything_outside || !policy.destinations.empty(family_)) {
        policies.push_back(&policy);
      }
    }
    bool inside_is_out = false;
    for (const PolicyRule* policy : policies) {
      // Addresses inside the cluster are never captured, whatever a policy says; where it names
      // none of them the look-up is saved.
      if (!inside_is_out && may_capture_inside(*policy)) {
        add(rule({daddr_in(nft_, "cluster"), untaken()}));
        inside_is_out = true;
      }
      if (policy == policies.back() && !policy->everything_outside) {
        // One way on to the EIP, not one for each CIDR: the kernel follows all of them whenever it
        // validates the table.
        add(rule({not_in("d_", policy->destinations.ranges(family_)), untaken()}));
        add(decide({}, *policy));
        return std::move(made_);
      }
      add_policy(*policy);
      if (policy->everything_outside && policy->excluded.empty(family_)) {
        return std::move(made_); // nothing gets past it
      }
    }
    add(rule({untaken()}));
    return std::move(made_);
  }

 private:
  void add(const net::Rule& r) { made_.chain.rules.push_back(r); }

  static Piece untaken() { return nft::go(kUntakenChain); }

  [[nodiscard]] bool may_capture_inside(const PolicyRule& policy) const {
    return policy.everything_outside || policy.destinations.first_overlap(cluster_).has_value();
  }

  void add_policy(const PolicyRule& policy) {
    if (policy.everything_outside) {
      const auto excluded = policy.excluded.ranges(family_);
      add(decide(excluded.empty() ? Piece{} : not_in("x_", excluded), policy));
      return;
    }
    const auto ranges = policy.destinations.ranges(family_);
    const auto few = few_prefixes(ranges);
    for (const Prefix& prefix : few) add(decide(daddr_in(nft_, prefix), policy));
    if (!few.empty()) return;
    const auto sets = by_length("d_", ranges);
    for (const PrefixSet& set : sets) add(decide(daddr_in(nft_, set), policy));
    if (sets.empty()) add(decide(daddr_in(nft_, named("d_", ranges)), policy));
  }

  Piece not_in(const std::string& prefix, const std::vector<Range>& ranges) {
    const auto few = few_prefixes(ranges);
    if (!few.empty()) return nft::daddr_in_none(nft_, few);
    const auto sets = by_length(prefix, ranges);
    if (!sets.empty()) return nft::daddr_in_none(nft_, sets);
    return daddr_not_in(nft_, named(prefix, ranges));
  }

  static std::string name_of(const std::string& prefix, const std::vector<Range>& ranges) {
    std::string text;
    for (const Range& r : ranges) text += r.to_string() + ",";
    return prefix + short_digest(text);
  }

  // A set of ranges named by its content, so that policies with the same destinations share it.
  std::string named(const std::string& prefix, const std::vector<Range>& ranges) {
    std::string name = name_of(prefix, ranges);
    made_.sets.emplace(name, interval_set(family_, ranges));
    return name;
  }

  // The same as a hash set for each length, if that is possible.
  std::vector<PrefixSet> by_length(const std::string& prefix, const std::vector<Range>& ranges) {
    std::vector<PrefixSet> sets;
    const auto many = many_prefixes(ranges);
    const std::string name = many.empty() ? "" : name_of(prefix, ranges);
    for (const auto& [length, prefixes] : many) {
      net::Set set{.key = key_type(family_)};
      for (const Prefix& p : prefixes) set.elements.try_emplace({bytes_of(p.address), {}});
      set.size = static_cast<std::uint32_t>(prefixes.size()); // another content is another set
      sets.push_back({length, fmt::format("{}_{}", name, length)});
      made_.sets.emplace(sets.back().name, std::move(set));
    }
    return sets;
  }

  [[nodiscard]] net::Rule decide(Piece match, const PolicyRule& policy) const {
    switch (policy.of(family_)) {
      case Fate::Eip:
        return rule({std::move(match), nft::go(eip_chain(policy.eip_id))});
      case Fate::Untouched:
        return rule({std::move(match), untaken()});
      case Fate::Drop:
        break;
    }
    return rule({std::move(match), nft::drop()});
  }

  const Family family_;
  const NftFamily nft_;
  const IntervalSet& cluster_;
  ClassChain made_;
};

} // namespace

std::string eip_chain(std::int32_t id) {
  return "eip_" + std::to_string(id);
}

net::KeyType key_type(Family family) {
  return family == Family::V4 ? net::KeyType::Ipv4 : net::KeyType::Ipv6;
}

net::Set interval_set(Family family, const std::vector<Range>& ranges) {
  net::Set set{.key = key_type(family), .interval = true};
  for (const Range& r : ranges) set.elements.try_emplace({bytes_of(r.first), bytes_of(r.last)});
  return set;
}

ClassChain class_chain(const PodClass& pod_class, Family family, const IntervalSet& cluster) {
  return Builder(family, cluster).build(pod_class);
}

std::set<std::string> destination_sets(const net::Chain& chain) {
  std::set<std::string> found;
  for (const net::Rule& rule : chain.rules) {
    for (const net::Expr& e : rule) {
      const auto* lookup = std::get_if<net::expr::Lookup>(&e);
      if (lookup && (lookup->set.starts_with("d_") || lookup->set.starts_with("x_") ||
                     lookup->set.starts_with(kDestinationMaps))) {
        found.insert(lookup->set);
      }
    }
  }
  return found;
}

} // namespace egw::egress
