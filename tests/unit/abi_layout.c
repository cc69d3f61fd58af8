/* The layout of every released struct of the ABI, as ABI 1.1 has it on 64-bit Linux.
 *
 * Modules that were compiled years ago rely on these numbers. A line may be added when a struct grows at its
 * end (and its SIZE with it, in a new ABI minor); a line that is here is never changed. What the compiler
 * refuses here, it would break there.
 */
#include <assert.h>
#include <stddef.h>

#include <dal/base.h>
#include <dal/data.h>
#include <dal/dataset.h>
#include <dal/host.h>
#include <dal/model.h>
#include <dal/oracle.h>
#include <dal/plugin.h>
#include <dal/rng.h>
#include <dal/strategy.h>

#define SIZE(T, size_) static_assert(sizeof(T) == (size_), #T " has another size than released");
#define AT(T, field, offset_, size_)                                                                   \
    static_assert(offsetof(T, field) == (offset_), #T "." #field " moved");                            \
    static_assert(sizeof(((T *)0)->field) == (size_), #T "." #field " has another size than released");

static_assert(DAL_ABI_MAJOR == 1, "another major has another layout: begin this file anew");

#if defined(__LP64__) && defined(__linux__)

/* ---- base.h ---- */

SIZE(dal_error, 1096)
AT(dal_error, struct_size, 0, 4)
AT(dal_error, status, 4, 4)
AT(dal_error, key, 8, 64)
AT(dal_error, text, 72, 1024)

SIZE(dal_matrix, 32)
AT(dal_matrix, data, 0, 8)
AT(dal_matrix, rows, 8, 8)
AT(dal_matrix, cols, 16, 8)
AT(dal_matrix, stride, 24, 8)

SIZE(dal_tensor3, 32)
AT(dal_tensor3, data, 0, 8)
AT(dal_tensor3, passes, 8, 8)
AT(dal_tensor3, rows, 16, 8)
AT(dal_tensor3, cols, 24, 8)

SIZE(dal_outputs, 40)
AT(dal_outputs, values, 0, 32)
AT(dal_outputs, kind, 32, 4)
AT(dal_outputs, reserved, 36, 4)

/* ---- data.h ---- */

SIZE(dal_sample_spec, 56)
AT(dal_sample_spec, struct_size, 0, 4)
AT(dal_sample_spec, modality, 4, 4)
AT(dal_sample_spec, dtype, 8, 4)
AT(dal_sample_spec, ndim, 12, 4)
AT(dal_sample_spec, shape, 16, 32)
AT(dal_sample_spec, n_classes, 48, 8)

SIZE(dal_batch, 48)
AT(dal_batch, struct_size, 0, 4)
AT(dal_batch, reserved, 4, 4)
AT(dal_batch, spec, 8, 8)
AT(dal_batch, n, 16, 8)
AT(dal_batch, data, 24, 8)
AT(dal_batch, offsets, 32, 8)
AT(dal_batch, indices, 40, 8)

SIZE(dal_samples, 120)
AT(dal_samples, struct_size, 0, 4)
AT(dal_samples, reserved, 4, 4)
AT(dal_samples, impl, 8, 8)
AT(dal_samples, spec, 16, 56)
AT(dal_samples, n, 72, 8)
AT(dal_samples, ids, 80, 8)
AT(dal_samples, classes, 88, 8)
AT(dal_samples, weights, 96, 8)
AT(dal_samples, sizes, 104, 8)
AT(dal_samples, read, 112, 8)

/* ---- host.h ---- */

SIZE(dal_comm, 64)
AT(dal_comm, struct_size, 0, 4)
AT(dal_comm, rank, 4, 4)
AT(dal_comm, size, 8, 4)
AT(dal_comm, reserved, 12, 4)
AT(dal_comm, impl, 16, 8)
AT(dal_comm, sum_f64, 24, 8)
AT(dal_comm, max_at, 32, 8)
AT(dal_comm, gather, 40, 8)
AT(dal_comm, broadcast, 48, 8)
AT(dal_comm, barrier, 56, 8)

SIZE(dal_host, 128)
AT(dal_host, struct_size, 0, 4)
AT(dal_host, abi_major, 4, 2)
AT(dal_host, abi_minor, 6, 2)
AT(dal_host, impl, 8, 8)
AT(dal_host, log, 16, 8)
AT(dal_host, alloc, 24, 8)
AT(dal_host, free, 32, 8)
AT(dal_host, rng, 40, 8)
AT(dal_host, parallel_for, 48, 8)
AT(dal_host, threads, 56, 8)
AT(dal_host, progress, 64, 8)
AT(dal_host, cancelled, 72, 8)
AT(dal_host, temp_map, 80, 8)
AT(dal_host, temp_unmap, 88, 8)
AT(dal_host, comm, 96, 8)
AT(dal_host, open, 104, 8)
AT(dal_host, close, 112, 8)
AT(dal_host, get_extension, 120, 8)

/* ---- rng.h ---- */

SIZE(dal_rng, 48)
AT(dal_rng, key, 0, 8)
AT(dal_rng, counter, 8, 8)
AT(dal_rng, nonce, 16, 8)
AT(dal_rng, out, 24, 16)
AT(dal_rng, left, 40, 4)
AT(dal_rng, reserved, 44, 4)

/* ---- plugin.h ---- */

SIZE(dal_i64_list, 16)
AT(dal_i64_list, items, 0, 8)
AT(dal_i64_list, n, 8, 8)

SIZE(dal_f64_list, 16)
AT(dal_f64_list, items, 0, 8)
AT(dal_f64_list, n, 8, 8)

SIZE(dal_str_list, 16)
AT(dal_str_list, items, 0, 8)
AT(dal_str_list, n, 8, 8)

SIZE(dal_ref_list, 16)
AT(dal_ref_list, items, 0, 8)
AT(dal_ref_list, n, 8, 8)

SIZE(dal_param, 56)
AT(dal_param, struct_size, 0, 4)
AT(dal_param, type, 4, 4)
AT(dal_param, name, 8, 8)
AT(dal_param, def, 16, 8)
AT(dal_param, domain, 24, 8)
AT(dal_param, unit, 32, 8)
AT(dal_param, summary, 40, 8)
AT(dal_param, offset, 48, 8)

SIZE(dal_component, 88)
AT(dal_component, struct_size, 0, 4)
AT(dal_component, kind, 4, 4)
AT(dal_component, id, 8, 8)
AT(dal_component, summary, 16, 8)
AT(dal_component, reference, 24, 8)
AT(dal_component, needs, 32, 8)
AT(dal_component, provides, 40, 8)
AT(dal_component, impl, 48, 8)
AT(dal_component, params, 56, 8)
AT(dal_component, n_params, 64, 8)
AT(dal_component, param_size, 72, 8)
AT(dal_component, options_size, 80, 8)

SIZE(struct dal_instance, 32)
AT(struct dal_instance, struct_size, 0, 4)
AT(struct dal_instance, kind, 4, 4)
AT(struct dal_instance, component, 8, 8)
AT(struct dal_instance, impl, 16, 8)
AT(struct dal_instance, self, 24, 8)

SIZE(dal_plugin, 56)
AT(dal_plugin, struct_size, 0, 4)
AT(dal_plugin, abi_major, 4, 2)
AT(dal_plugin, abi_minor, 6, 2)
AT(dal_plugin, module, 8, 8)
AT(dal_plugin, version, 16, 8)
AT(dal_plugin, licence, 24, 8)
AT(dal_plugin, components, 32, 8)
AT(dal_plugin, init, 40, 8)
AT(dal_plugin, fini, 48, 8)

/* ---- dataset.h ---- */

SIZE(dal_dataset_info, 96)
AT(dal_dataset_info, struct_size, 0, 4)
AT(dal_dataset_info, reserved, 4, 4)
AT(dal_dataset_info, spec, 8, 56)
AT(dal_dataset_info, n, 64, 24)
AT(dal_dataset_info, class_names, 88, 8)

SIZE(dal_dataset_impl, 80)
AT(dal_dataset_impl, struct_size, 0, 4)
AT(dal_dataset_impl, reserved, 4, 4)
AT(dal_dataset_impl, create, 8, 8)
AT(dal_dataset_impl, destroy, 16, 8)
AT(dal_dataset_impl, info, 24, 8)
AT(dal_dataset_impl, classes, 32, 8)
AT(dal_dataset_impl, read, 40, 8)
AT(dal_dataset_impl, sizes, 48, 8)
AT(dal_dataset_impl, describe, 56, 8)
AT(dal_dataset_impl, fingerprint, 64, 8)
AT(dal_dataset_impl, get_extension, 72, 8)

SIZE(dal_dataset_groups, 32)
AT(dal_dataset_groups, struct_size, 0, 4)
AT(dal_dataset_groups, reserved, 4, 4)
AT(dal_dataset_groups, count, 8, 8)
AT(dal_dataset_groups, name, 16, 8)
AT(dal_dataset_groups, groups, 24, 8)

SIZE(dal_dataset, 16)
AT(dal_dataset, impl, 0, 8)
AT(dal_dataset, self, 8, 8)

/* ---- model.h ---- */

SIZE(dal_fit, 56)
AT(dal_fit, struct_size, 0, 4)
AT(dal_fit, warm, 4, 4)
AT(dal_fit, round, 8, 8)
AT(dal_fit, train, 16, 8)
AT(dal_fit, validation, 24, 8)
AT(dal_fit, unlabelled, 32, 8)
AT(dal_fit, companions, 40, 8)
AT(dal_fit, n_companions, 48, 8)

SIZE(dal_fit_report, 40)
AT(dal_fit_report, struct_size, 0, 4)
AT(dal_fit_report, converged, 4, 4)
AT(dal_fit_report, epochs, 8, 8)
AT(dal_fit_report, steps, 16, 8)
AT(dal_fit_report, loss, 24, 8)
AT(dal_fit_report, train_accuracy, 32, 8)

SIZE(dal_writer, 24)
AT(dal_writer, struct_size, 0, 4)
AT(dal_writer, reserved, 4, 4)
AT(dal_writer, impl, 8, 8)
AT(dal_writer, write, 16, 8)

SIZE(dal_reader, 24)
AT(dal_reader, struct_size, 0, 4)
AT(dal_reader, reserved, 4, 4)
AT(dal_reader, impl, 8, 8)
AT(dal_reader, read, 16, 8)

SIZE(dal_model_impl, 64)
AT(dal_model_impl, struct_size, 0, 4)
AT(dal_model_impl, output, 4, 4)
AT(dal_model_impl, create, 8, 8)
AT(dal_model_impl, destroy, 16, 8)
AT(dal_model_impl, fit, 24, 8)
AT(dal_model_impl, predict, 32, 8)
AT(dal_model_impl, save, 40, 8)
AT(dal_model_impl, load, 48, 8)
AT(dal_model_impl, get_extension, 56, 8)

SIZE(dal_model, 16)
AT(dal_model, impl, 0, 8)
AT(dal_model, self, 8, 8)

SIZE(dal_model_features, 24)
AT(dal_model_features, struct_size, 0, 4)
AT(dal_model_features, reserved, 4, 4)
AT(dal_model_features, width, 8, 8)
AT(dal_model_features, features, 16, 8)

SIZE(dal_model_stages, 32)
AT(dal_model_stages, struct_size, 0, 4)
AT(dal_model_stages, reserved, 4, 4)
AT(dal_model_stages, count, 8, 8)
AT(dal_model_stages, width, 16, 8)
AT(dal_model_stages, stages, 24, 8)

SIZE(dal_model_mc, 16)
AT(dal_model_mc, struct_size, 0, 4)
AT(dal_model_mc, reserved, 4, 4)
AT(dal_model_mc, mc, 8, 8)

SIZE(dal_model_last_layer, 16)
AT(dal_model_last_layer, struct_size, 0, 4)
AT(dal_model_last_layer, reserved, 4, 4)
AT(dal_model_last_layer, last_layer, 8, 8)

SIZE(dal_model_input_gradient, 40)
AT(dal_model_input_gradient, struct_size, 0, 4)
AT(dal_model_input_gradient, reserved, 4, 4)
AT(dal_model_input_gradient, width, 8, 8)
AT(dal_model_input_gradient, embed, 16, 8)
AT(dal_model_input_gradient, forward, 24, 8)
AT(dal_model_input_gradient, gradient, 32, 8)

SIZE(dal_model_feature_gradient, 24)
AT(dal_model_feature_gradient, struct_size, 0, 4)
AT(dal_model_feature_gradient, reserved, 4, 4)
AT(dal_model_feature_gradient, features, 8, 8)
AT(dal_model_feature_gradient, gradient, 16, 8)

SIZE(dal_parameter, 32)
AT(dal_parameter, struct_size, 0, 4)
AT(dal_parameter, role, 4, 4)
AT(dal_parameter, name, 8, 8)
AT(dal_parameter, offset, 16, 8)
AT(dal_parameter, count, 24, 8)

SIZE(dal_model_perturb, 56)
AT(dal_model_perturb, struct_size, 0, 4)
AT(dal_model_perturb, reserved, 4, 4)
AT(dal_model_perturb, copy, 8, 8)
AT(dal_model_perturb, n_weights, 16, 8)
AT(dal_model_perturb, weights, 24, 8)
AT(dal_model_perturb, n_parameters, 32, 8)
AT(dal_model_perturb, parameter, 40, 8)
AT(dal_model_perturb, loss_gradient, 48, 8)

SIZE(dal_companion_setup, 64)
AT(dal_companion_setup, struct_size, 0, 4)
AT(dal_companion_setup, reserved, 4, 4)
AT(dal_companion_setup, round, 8, 8)
AT(dal_companion_setup, n_train, 16, 8)
AT(dal_companion_setup, epochs, 24, 8)
AT(dal_companion_setup, c, 32, 8)
AT(dal_companion_setup, d, 40, 8)
AT(dal_companion_setup, n_stages, 48, 8)
AT(dal_companion_setup, stage_widths, 56, 8)

SIZE(dal_companion_batch, 88)
AT(dal_companion_batch, struct_size, 0, 4)
AT(dal_companion_batch, reserved, 4, 4)
AT(dal_companion_batch, n, 8, 8)
AT(dal_companion_batch, ids, 16, 8)
AT(dal_companion_batch, classes, 24, 8)
AT(dal_companion_batch, losses, 32, 8)
AT(dal_companion_batch, logits, 40, 8)
AT(dal_companion_batch, features, 48, 8)
AT(dal_companion_batch, stages, 56, 8)
AT(dal_companion_batch, d_logits, 64, 8)
AT(dal_companion_batch, d_features, 72, 8)
AT(dal_companion_batch, d_stages, 80, 8)

SIZE(dal_companion, 40)
AT(dal_companion, struct_size, 0, 4)
AT(dal_companion, wants, 4, 4)
AT(dal_companion, self, 8, 8)
AT(dal_companion, begin, 16, 8)
AT(dal_companion, step, 24, 8)
AT(dal_companion, epoch_end, 32, 8)

SIZE(dal_model_companion, 8)
AT(dal_model_companion, struct_size, 0, 4)
AT(dal_model_companion, offers, 4, 4)

SIZE(dal_model_choices, 16)
AT(dal_model_choices, struct_size, 0, 4)
AT(dal_model_choices, reserved, 4, 4)
AT(dal_model_choices, chosen, 8, 8)

/* ---- strategy.h ---- */

SIZE(dal_block, 72)
AT(dal_block, struct_size, 0, 4)
AT(dal_block, set, 4, 4)
AT(dal_block, impl, 8, 8)
AT(dal_block, first, 16, 8)
AT(dal_block, n, 24, 8)
AT(dal_block, ids, 32, 8)
AT(dal_block, outputs, 40, 8)
AT(dal_block, features, 48, 8)
AT(dal_block, mc, 56, 8)
AT(dal_block, inputs, 64, 8)

SIZE(dal_view, 168)
AT(dal_view, struct_size, 0, 4)
AT(dal_view, mc_kind, 4, 4)
AT(dal_view, impl, 8, 8)
AT(dal_view, round, 16, 8)
AT(dal_view, n_classes, 24, 8)
AT(dal_view, count, 32, 8)
AT(dal_view, ids, 40, 8)
AT(dal_view, classes, 48, 8)
AT(dal_view, outputs, 56, 8)
AT(dal_view, features, 64, 8)
AT(dal_view, mc, 72, 8)
AT(dal_view, last_layer, 80, 8)
AT(dal_view, stream, 88, 8)
AT(dal_view, model, 96, 8)
AT(dal_view, model_ref, 104, 8)
AT(dal_view, samples, 112, 8)
AT(dal_view, release, 120, 8)
AT(dal_view, subview, 128, 8)
AT(dal_view, close, 136, 8)
AT(dal_view, run, 144, 8)
AT(dal_view, pseudo_label, 152, 8)
AT(dal_view, get_extension, 160, 8)

SIZE(dal_view_truth, 24)
AT(dal_view_truth, struct_size, 0, 4)
AT(dal_view_truth, reserved, 4, 4)
AT(dal_view_truth, n, 8, 8)
AT(dal_view_truth, classes, 16, 8)

SIZE(dal_view_groups, 40)
AT(dal_view_groups, struct_size, 0, 4)
AT(dal_view_groups, reserved, 4, 4)
AT(dal_view_groups, n, 8, 8)
AT(dal_view_groups, n_groups, 16, 8)
AT(dal_view_groups, groups, 24, 8)
AT(dal_view_groups, names, 32, 8)

SIZE(dal_picks, 296)
AT(dal_picks, struct_size, 0, 4)
AT(dal_picks, reserved, 4, 4)
AT(dal_picks, want, 8, 8)
AT(dal_picks, ids, 16, 8)
AT(dal_picks, scores, 24, 8)
AT(dal_picks, n, 32, 8)
AT(dal_picks, reason, 40, 256)

SIZE(dal_feedback, 40)
AT(dal_feedback, struct_size, 0, 4)
AT(dal_feedback, reserved, 4, 4)
AT(dal_feedback, n, 8, 8)
AT(dal_feedback, ids, 16, 8)
AT(dal_feedback, answers, 24, 8)
AT(dal_feedback, classes, 32, 8)

SIZE(dal_problem, 48)
AT(dal_problem, struct_size, 0, 4)
AT(dal_problem, reserved, 4, 4)
AT(dal_problem, n, 8, 8)
AT(dal_problem, n_labelled, 16, 8)
AT(dal_problem, n_query, 24, 8)
AT(dal_problem, c, 32, 8)
AT(dal_problem, d, 40, 8)

SIZE(dal_cost, 152)
AT(dal_cost, struct_size, 0, 4)
AT(dal_cost, reserved, 4, 4)
AT(dal_cost, bytes, 8, 8)
AT(dal_cost, flops, 16, 8)
AT(dal_cost, formula, 24, 128)

SIZE(dal_strategy_impl, 96)
AT(dal_strategy_impl, struct_size, 0, 4)
AT(dal_strategy_impl, order, 4, 4)
AT(dal_strategy_impl, create, 8, 8)
AT(dal_strategy_impl, destroy, 16, 8)
AT(dal_strategy_impl, prepare, 24, 8)
AT(dal_strategy_impl, score, 32, 8)
AT(dal_strategy_impl, select, 40, 8)
AT(dal_strategy_impl, observe, 48, 8)
AT(dal_strategy_impl, save, 56, 8)
AT(dal_strategy_impl, load, 64, 8)
AT(dal_strategy_impl, companion, 72, 8)
AT(dal_strategy_impl, cost, 80, 8)
AT(dal_strategy_impl, get_extension, 88, 8)

/* ---- oracle.h ---- */

SIZE(dal_oracle_task, 88)
AT(dal_oracle_task, struct_size, 0, 4)
AT(dal_oracle_task, reserved, 4, 4)
AT(dal_oracle_task, n_pool, 8, 8)
AT(dal_oracle_task, n_classes, 16, 8)
AT(dal_oracle_task, class_names, 24, 8)
AT(dal_oracle_task, store_path, 32, 8)
AT(dal_oracle_task, run, 40, 8)
AT(dal_oracle_task, truth, 48, 8)
AT(dal_oracle_task, impl, 56, 8)
AT(dal_oracle_task, describe, 64, 8)
AT(dal_oracle_task, samples, 72, 8)
AT(dal_oracle_task, release, 80, 8)

SIZE(dal_question, 64)
AT(dal_question, struct_size, 0, 4)
AT(dal_question, reserved, 4, 4)
AT(dal_question, impl, 8, 8)
AT(dal_question, round, 16, 8)
AT(dal_question, n, 24, 8)
AT(dal_question, ids, 32, 8)
AT(dal_question, scores, 40, 8)
AT(dal_question, answer, 48, 8)
AT(dal_question, flush, 56, 8)

SIZE(dal_oracle_impl, 32)
AT(dal_oracle_impl, struct_size, 0, 4)
AT(dal_oracle_impl, reserved, 4, 4)
AT(dal_oracle_impl, create, 8, 8)
AT(dal_oracle_impl, destroy, 16, 8)
AT(dal_oracle_impl, label, 24, 8)

#endif
