// SPDX-License-Identifier: Apache-2.0
//
// The compiled half of {fmt}, for systems whose package has no archive of it: header-only, every
// file that formats takes 2.4 s longer. These are the instantiations that format.h declares extern.

// Clang from 20 on does not take the {fmt} of Debian 13 for what consteval asks.
#define FMT_CONSTEVAL
#include <fmt/format-inl.h>

FMT_BEGIN_NAMESPACE
namespace detail {

template void vformat_to(buffer<char>&, string_view, vformat_args<>::type, locale_ref);
template auto thousands_sep_impl(locale_ref) -> thousands_sep_result<char>;
template auto decimal_point_impl(locale_ref) -> char;
template auto dragonbox::to_decimal(float) noexcept -> dragonbox::decimal_fp<float>;
template auto dragonbox::to_decimal(double) noexcept -> dragonbox::decimal_fp<double>;
template locale_ref::locale_ref(const std::locale&);
template auto locale_ref::get<std::locale>() const -> std::locale;

} // namespace detail
FMT_END_NAMESPACE
